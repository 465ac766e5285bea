//! The registry over a real store: what each verb does, as its callers see it.

mod apply;
mod clients;
mod conversion;
mod custom;
mod delete;
mod http;
mod lists;
mod rig;
mod services;
mod subresources;
mod watches;
mod writes;
