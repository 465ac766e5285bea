//! Who runs: `user[:group]` against the image's `/etc/passwd` and `/etc/group`.

use crate::request::ImageGroups;

/// A line of `/etc/passwd`, `passwd(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswdLine {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// A line of `/etc/group`, `group(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLine {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Login names of its members.
    pub members: Vec<String>,
}

/// Ids and home directory of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, its own among them: files that deny something to the group deny it to
    /// whoever takes on another group, too (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory; `/` when none is known.
    pub home: String,
}

/// The user cannot be found in the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUser {
    /// No such user.
    #[error("user {name}: the image's /etc/passwd has no such user; use a name from it, or a number")]
    NoUser {
        /// What was asked for.
        name: String,
    },
    /// No such group.
    #[error("group {name}: the image's /etc/group has no such group; use a name from it, or a number")]
    NoGroup {
        /// What was asked for.
        name: String,
    },
    /// A number that no id can have.
    #[error("id {id} is not valid: use 0 to 2147483647")]
    OutOfRange {
        /// What was asked for.
        id: String,
    },
}

/// Reads `/etc/passwd`; lines that are not of its form are skipped.
pub fn parse_passwd(text: &str) -> Vec<PasswdLine> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("").to_owned();
        Some(PasswdLine { name, uid, gid, home })
    };
    text.lines().filter_map(line).collect()
}

/// Reads `/etc/group`; lines that are not of its form are skipped.
pub fn parse_group(text: &str) -> Vec<GroupLine> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let gid = fields.nth(1)?.parse().ok()?;
        let members =
            fields.next().unwrap_or("").split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        Some(GroupLine { name, gid, members })
    };
    text.lines().filter_map(line).collect()
}

/// Finds `spec` (`user[:group]`, names or numbers; empty means root) and `extra` groups, and
/// the user's own in the image when `from_image` says so.
///
/// A name is looked for before it is read as a number, and a number need not be known
/// (OCI image-spec `config.md`, "User"). Ids above 2³¹-1 are refused: they wrap in places
/// where an id is a signed number (CVE-2024-40635).
pub fn resolve_user(
    spec: &str,
    extra: &[String],
    from_image: ImageGroups,
    passwd: &[PasswdLine],
    group: &[GroupLine],
) -> Result<ResolvedUser, InvalidUser> {
    let (user, wanted_group) = spec.split_once(':').map_or((spec, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let by_name = passwd.iter().find(|line| line.name == user);
    let number =
        if by_name.is_none() { Some(id(user).map_err(|e| e.unwrap_or(no_user(user)))?) } else { None };
    let line = by_name.or_else(|| passwd.iter().find(|line| Some(line.uid) == number));
    let uid = line.map_or(number.unwrap_or(0), |line| line.uid);
    let find_group = |name: &str| match group.iter().find(|line| line.name == name) {
        Some(line) => Ok(line.gid),
        None => id(name).map_err(|e| e.unwrap_or(InvalidUser::NoGroup { name: name.to_owned() })),
    };
    let explicit = wanted_group.filter(|group| !group.is_empty());
    let gid = match explicit {
        Some(name) => find_group(name)?,
        None => line.map_or(0, |line| line.gid),
    };
    let mut groups = vec![gid];
    let counts = match from_image {
        ImageGroups::WithoutGroup => explicit.is_none(),
        ImageGroups::Always => true,
        ImageGroups::Never => false,
    };
    if let (true, Some(line)) = (counts, line) {
        let is_member = |candidate: &&GroupLine| candidate.members.contains(&line.name);
        groups.extend(group.iter().filter(is_member).map(|line| line.gid));
    }
    for name in extra {
        groups.push(find_group(name)?);
    }
    groups.sort_unstable();
    groups.dedup();
    check_range(uid)?;
    check_range(gid)?;
    let home = line.map(|line| line.home.clone()).filter(|home| !home.is_empty());
    let default_home = if uid == 0 { "/root" } else { "/" };
    Ok(ResolvedUser { uid, gid, groups, home: home.unwrap_or_else(|| default_home.to_owned()) })
}

fn no_user(name: &str) -> InvalidUser {
    InvalidUser::NoUser { name: name.to_owned() }
}

/// A number; `Err(None)` when it is none.
fn id(text: &str) -> Result<u32, Option<InvalidUser>> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(None);
    }
    let out_of_range = || Some(InvalidUser::OutOfRange { id: text.to_owned() });
    text.parse::<u32>().ok().filter(|id| *id <= ID_MAX).ok_or_else(out_of_range)
}

fn check_range(id: u32) -> Result<(), InvalidUser> {
    if id <= ID_MAX { Ok(()) } else { Err(InvalidUser::OutOfRange { id: id.to_string() }) }
}

const ID_MAX: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbad line\nwww:x:33:33::/var/www:/bin/false\n1001:x:5:6::/five:\nbig:x:4294967295:0::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nadm:x:4:www,other\nvideo:x:44:www\n";

    #[track_caller]
    fn check(spec: &str, extra: &[&str], expected: &str) {
        let extra: Vec<String> = extra.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(shown(spec, &extra, ImageGroups::WithoutGroup), expected, "{spec}");
    }

    fn shown(spec: &str, extra: &[String], from_image: ImageGroups) -> String {
        match resolve_user(spec, extra, from_image, &parse_passwd(PASSWD), &parse_group(GROUP)) {
            Ok(user) => format!("{}:{} {:?} {}", user.uid, user.gid, user.groups, user.home),
            Err(error) => error.to_string().split(':').next().unwrap_or("").to_owned(),
        }
    }

    #[test]
    fn the_images_groups_count_when_they_are_wanted() {
        for (spec, from_image, expected) in [
            ("33:7", ImageGroups::Always, "33:7 [4, 7, 9, 44] /var/www"),
            ("33:7", ImageGroups::WithoutGroup, "33:7 [7, 9] /var/www"),
            ("33", ImageGroups::Never, "33:33 [9, 33] /var/www"),
        ] {
            assert_eq!(shown(spec, &["9".to_owned()], from_image), expected);
        }
    }

    #[test]
    fn finds_users() {
        check("", &[], "0:0 [0] /root");
        check("www", &[], "33:33 [4, 33, 44] /var/www");
        check("33", &[], "33:33 [4, 33, 44] /var/www");
        check("www:adm", &[], "33:4 [4] /var/www");
        check("www:7", &["video"], "33:7 [7, 44] /var/www");
        check("1000", &[], "1000:0 [0] /");
        check("1001", &[], "5:6 [6] /five");
        check(":4", &[], "0:4 [4] /root");
    }

    #[test]
    fn refuses_what_is_not_there() {
        check("nobody", &[], "user nobody");
        check("www:nope", &[], "group nope");
        check("0", &["nope"], "group nope");
        check("4294967295", &[], "id 4294967295 is not valid");
        check("99999999999", &[], "id 99999999999 is not valid");
        check("big", &[], "id 4294967295 is not valid");
        check("0:2147483648", &[], "id 2147483648 is not valid");
    }
}
