//! Addresses of every family with all that is to be kept of them, for a link that goes to another
//! network namespace: the kernel drops them on the way.

use crate::error::Error;
use crate::socket::{Answer, Socket};
use crate::wire::{self, Attributes, Message};

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const INFO_LEN: usize = 8;

/// An address of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedAddress {
    /// The link it is on.
    pub link: u32,
    family: u8,
    prefix: u8,
    /// `IFA_F_*` flags.
    flags: u32,
    /// `RT_SCOPE_*`.
    scope: u8,
    /// What is copied as it is: the attribute's number and bytes.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl CarriedAddress {
    /// Whether it was set by somebody for good, and has a meaning beyond this host.
    pub fn is_permanent_and_global(&self) -> bool {
        self.flags & IFA_F_PERMANENT != 0 && self.scope == 0
    }

    /// Reads an `RTM_NEWADDR` answer of any family.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let body = &answer.body;
        if answer.kind != RTM_NEWADDR || body.len() < INFO_LEN {
            return None;
        }
        let mut address = Self {
            link: wire::read_u32(body, 4)?,
            family: body[0],
            prefix: body[1],
            flags: u32::from(body[2]),
            scope: body[3],
            attributes: Vec::new(),
        };
        for attribute in Attributes::after(body, INFO_LEN) {
            match attribute.kind {
                IFA_FLAGS => address.flags = attribute.u32()?,
                IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST | IFA_RT_PRIORITY => {
                    address.attributes.push((attribute.kind, attribute.data.to_vec()));
                }
                _ => {}
            }
        }
        Some(address)
    }
}

/// `RTM_NEWADDR`: gives `link` the address as it was.
///
/// It was in use before: nobody is asked again whether it is free.
pub fn add_carried(address: &CarriedAddress, link: u32) -> Message {
    let mut fixed = [address.family, address.prefix, 0, address.scope, 0, 0, 0, 0];
    fixed[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut message = Message::new(RTM_NEWADDR, wire::F_CREATE | wire::F_REPLACE).fixed(&fixed);
    for (kind, data) in &address.attributes {
        message.bytes(*kind, data);
    }
    message.u32(IFA_FLAGS, address.flags & IFA_F_NOPREFIXROUTE | IFA_F_NODAD);
    message
}

/// The addresses of the socket's namespace, of every family.
pub fn carried_addresses(socket: &mut Socket) -> Result<Vec<CarriedAddress>, Error> {
    let request = Message::new(RTM_GETADDR, 0).fixed(&[0; INFO_LEN]);
    Ok(socket.dump(&request)?.iter().filter_map(CarriedAddress::parse).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        let local = vec![192, 0, 2, 7];
        let given = CarriedAddress {
            link: 3,
            family: 2,
            prefix: 24,
            flags: IFA_F_NODAD,
            scope: 0,
            attributes: vec![(IFA_ADDRESS, local.clone()), (IFA_LOCAL, local)],
        };
        let answer = Answer { kind: RTM_NEWADDR, body: add_carried(&given, 3).body().to_vec() };
        assert_eq!(CarriedAddress::parse(&answer), Some(given));
    }

    #[test]
    fn what_is_temporary_or_of_this_host_is_told_apart() {
        let of = |flags, scope| CarriedAddress { flags, scope, ..CarriedAddress::default() };
        assert!(of(IFA_F_PERMANENT, 0).is_permanent_and_global());
        assert!(!of(0, 0).is_permanent_and_global());
        assert!(!of(IFA_F_PERMANENT, 253).is_permanent_and_global());
    }

    proptest! {
        #[test]
        fn foreign_addresses_never_panic(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = CarriedAddress::parse(&Answer { kind: RTM_NEWADDR, body });
        }
    }
}
