//! Init containers: one after the other, sidecars stay.

use super::Maker;
use crate::model::{Container, Life, Role, Wanted};

impl<'a> Maker<'a> {
    /// Brings the pod to where its main containers may run; tells whether it is there.
    pub(super) fn initialize(&mut self) -> bool {
        let had_main = self.had_main();
        for wanted in Wanted::init(self.pod) {
            let newest = self.in_sandbox(wanted.name());
            let is_done = match wanted.role {
                Role::Sidecar => self.keep_sidecar(&wanted, newest) || had_main,
                _ => had_main || self.run_to_end(&wanted, newest),
            };
            if !is_done {
                return false;
            }
        }
        true
    }

    /// Whether main containers were there in this sandbox: then init containers have had their turn.
    fn had_main(&self) -> bool {
        Wanted::main(self.pod).any(|wanted| self.in_sandbox(wanted.name()).is_some())
    }

    /// The newest container of a name in the sandbox of today.
    fn in_sandbox(&self, name: &str) -> Option<&'a Container> {
        let sandbox = self.seen.sandbox()?;
        let mut found = self.seen.containers.iter().filter(|found| found.name == name);
        found.find(|found| found.sandbox == sandbox.id)
    }

    /// Whether the sidecar has started, so that what comes behind it may.
    fn keep_sidecar(&mut self, wanted: &Wanted<'_>, newest: Option<&Container>) -> bool {
        let Some(newest) = newest else {
            self.start(wanted, None);
            return false;
        };
        match newest.life {
            Life::Running => {
                if self.keep(wanted, newest) {
                    let is_hooked = !self.is_under_way(&crate::model::Job::Start(wanted.name().to_owned()));
                    return is_hooked && self.seen.is_started(wanted, newest);
                }
                false
            }
            Life::Exited => {
                self.start(wanted, Some(newest));
                false
            }
            Life::Created | Life::Unknown => {
                self.replace(wanted, newest);
                false
            }
        }
    }

    /// Whether the init container has ended well.
    fn run_to_end(&mut self, wanted: &Wanted<'_>, newest: Option<&Container>) -> bool {
        let Some(newest) = newest else {
            self.start(wanted, None);
            return false;
        };
        match newest.life {
            Life::Running => self.why(|| format!("init container {} runs", wanted.name())),
            Life::Exited if newest.exit_code == 0 => return true,
            Life::Exited if self.seen.restarts(self.pod, wanted, newest) => self.start(wanted, Some(newest)),
            // The pod has failed: `ending` has seen it.
            Life::Exited => {}
            Life::Created | Life::Unknown => self.replace(wanted, newest),
        }
        false
    }
}
