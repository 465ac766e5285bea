//! Flaws of those who help: the companion for names and rules, the process of a user's network,
//! and the network of pods.

use user_stack::control;

use super::{Cure, Flaw, FlawKind};
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Sandboxes that have gone while nobody served pods; whoever does finds them too, when it
    /// begins.
    pub(super) fn examine_pods(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        for state in self.paths().pod_networks() {
            let left =
                attach::left_in(&state, |id| self.holds_network(id)).map_err(Error::network("pods"))?;
            for (id, address) in left {
                let detail = match address {
                    Some(address) => format!("holds {address} of the pods' network, and does not run"),
                    None => "recorded in the pods' network, and has no address there".to_owned(),
                };
                let cure = Cure::Pod(state.clone(), id.clone());
                flaws.push(Flaw::new(FlawKind::PodWithoutSandbox, id.as_str(), detail, cure));
            }
        }
        Ok(())
    }

    /// The companion is there while containers need it, and nothing of it when they don't.
    pub(super) fn examine_companion(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let Some(place) = self.warden() else { return Ok(()) };
        let Ok(serves) = warden::serves(&place) else { return Ok(()) };
        let object = place.socket().display().to_string();
        let attachments = self.networks()?.attachments().map_err(Error::network("store"))?;
        let is_needed = attachments
            .iter()
            .filter(|attachment| attachment.has_names() || !attachment.ports.is_empty())
            .any(|attachment| self.holds_network(&attachment.id));
        match serves {
            Some(true) => {}
            _ if is_needed => {
                let detail = "nobody answers for names and watches over published ports";
                flaws.push(Flaw::new(FlawKind::CompanionMissing, object, detail, Cure::Companion));
            }
            None => {
                let detail = "the socket of a companion that was killed";
                let cure = Cure::File(place.socket());
                flaws.push(Flaw::new(FlawKind::CompanionStale, object, detail, cure));
            }
            Some(false) => {}
        }
        Ok(())
    }

    /// The process that leads out of an ordinary user's network. Its socket stays when it ends.
    pub(super) fn examine_user_network(&self, flaws: &mut Vec<Flaw>) -> Result<(), Error> {
        let Some(directory) = self.outside() else { return Ok(()) };
        if matches!(control::hold(directory), Ok(Some(_))) {
            return Ok(());
        }
        let attachments = self.networks()?.attachments().map_err(Error::network("store"))?;
        if attachments.iter().any(|attachment| self.holds_network(&attachment.id)) {
            let object = directory.join(control::SOCKET).display().to_string();
            let detail = "the process of your network has ended: nothing leads in or out";
            flaws.push(Flaw::new(FlawKind::UserNetworkEnded, object, detail, Cure::None));
        }
        Ok(())
    }
}
