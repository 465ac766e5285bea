//! The user's name and home, by `/etc/passwd` (`passwd(5)`).

use std::path::PathBuf;

/// The name and the home directory of `uid`.
pub fn user_name(passwd: &str, uid: u32) -> Option<(String, PathBuf)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id, _, _, home) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| (name.to_owned(), PathBuf::from(home)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_with_the_id_counts() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\nalias:x:1000:1000::/:/x\n";
        assert_eq!(user_name(text, 1000), Some(("ann".to_owned(), "/home/ann".into())));
        assert_eq!(user_name(text, 7), None);
    }
}
