//! `rtnetlink(7)`: links, addresses, routes, neighbours and policy rules.

mod address;
mod carried;
mod inet6;
mod link;
mod neighbour;
mod policy;
mod table;

pub use address::{Address, add_address, addresses, delete_address};
pub use carried::{CarriedAddress, add_carried, carried_addresses};
pub use inet6::{add_address6, addresses6, default_route6, delete_default_route6, destinations6};
pub use link::{
    AddressGeneration, BridgePortState, Ipv4Conf, Link, LinkChange, LinkKind, MacAddress, Macvlan,
    MacvlanMode, NewLink, Place, VethPeer, Vlan, Vxlan, delete_link, link_by_index, link_by_name,
    link_request, links, links_request, loopback_up, new_link, set_bridge_port, set_link,
};
pub use neighbour::{
    Neighbour, delete_forwarding, delete_neighbour, forwarding, neighbours, set_forwarding, set_neighbour,
};
pub use policy::{PolicyRule, policy_rules};
pub use table::{Route, RouteKind, add_route, delete_route, replace_route, routes};

pub(crate) const AF_INET: u8 = 2;
