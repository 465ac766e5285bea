//! Generic netlink: families that the kernel numbers when their module is loaded.

use crate::error::Error;
use crate::socket::Socket;
use crate::wire::{self, Message};

/// The number of the family `name`, or `None` where this kernel has no such module. Asking
/// makes the kernel load it, if it may.
pub fn family(socket: &mut Socket, name: &str) -> Result<Option<u16>, Error> {
    let mut request = Message::new(CONTROL, 0).fixed(&[GET_FAMILY, 1, 0, 0]);
    request.str(FAMILY_NAME, name);
    match socket.execute_all(&[request]) {
        Ok(answers) => Ok(answers.iter().flatten().find_map(|answer| {
            let attributes = wire::Attributes::after(&answer.body, HEADER_LEN);
            attributes.find(FAMILY_ID)?.data.try_into().ok().map(u16::from_ne_bytes)
        })),
        Err(error) if error.is(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `GENL_ID_CTRL`.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`.
const HEADER_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Protocol;

    #[test]
    fn the_controller_knows_itself_and_no_stranger() {
        let mut socket = Socket::open(Protocol::Generic).unwrap();
        assert_eq!(family(&mut socket, "nlctrl").unwrap(), Some(CONTROL));
        assert_eq!(family(&mut socket, "no_such_family").unwrap(), None);
    }
}
