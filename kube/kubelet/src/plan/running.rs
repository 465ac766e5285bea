//! Main containers, and what all running containers have in common.

use super::restart::restarts;
use super::{Action, Maker};
use crate::model::{Container, Job, Life, Wanted};
use crate::read::number;
use crate::resources;
use crate::spec::{self, container_hash};

impl Maker<'_> {
    /// Starts main containers and restarts those that have ended, by policy.
    pub(super) fn main(&mut self) {
        for wanted in Wanted::main(self.pod) {
            let Some(newest) = self.seen.newest(wanted.name()) else {
                if self.is_wanted_anew(&wanted) {
                    self.start(&wanted, None);
                }
                continue;
            };
            match newest.life {
                Life::Running => drop(self.keep(&wanted, newest)),
                Life::Exited if self.seen.restarts(self.pod, &wanted, newest) => {
                    self.start(&wanted, Some(newest));
                }
                Life::Exited => {}
                Life::Created | Life::Unknown => self.replace(&wanted, newest),
            }
        }
    }

    /// Whether a container that the runtime does not know has to run: it may have ended before.
    fn is_wanted_anew(&self, wanted: &Wanted<'_>) -> bool {
        match crate::status::written_exit(self.pod, wanted.name()) {
            Some(code) => restarts(self.pod, wanted, code),
            None => true,
        }
    }

    /// A container that the runtime made but did not start, or lost sight of: away with it, and anew.
    pub(super) fn replace(&mut self, wanted: &Wanted<'_>, found: &Container) {
        if self.is_under_way(&Job::Start(wanted.name().to_owned())) {
            return;
        }
        if found.life == Life::Created {
            self.act(Action::Remove { id: found.id.clone() });
        } else {
            let message = "Container is in \"unknown\" state, try killing it before restart".to_owned();
            let (id, name) = (found.id.clone(), wanted.name().to_owned());
            let grace = self.pod_grace();
            self.act(Action::Kill { id, name, grace, hook: false, message, replaced: false });
        }
    }

    /// Keeps a running container, or stops it if it is ill or another one is wanted.
    pub(super) fn keep(&mut self, wanted: &Wanted<'_>, found: &Container) -> bool {
        let name = wanted.name();
        // Its hook still runs: its start is not over.
        if self.is_under_way(&Job::Start(name.to_owned())) {
            return true;
        }
        let health = self.seen.health(&found.id);
        let (mut message, probe, replaced) =
            if found.hash != container_hash(wanted.spec) && !found.hash.is_empty() {
                (format!("Container {name} definition changed"), None, true)
            } else if health.alive == Some(false) {
                (format!("Container {name} failed liveness probe"), Some("livenessProbe"), false)
            } else if health.started == Some(false) && wanted.has("startupProbe") {
                (format!("Container {name} failed startup probe"), Some("startupProbe"), false)
            } else {
                match resources::resize(wanted.spec, self.seen.has(found)) {
                    resources::Resize::None => return true,
                    resources::Resize::InPlace => {
                        self.resized.push(name.to_owned());
                        return true;
                    }
                    resources::Resize::Restart => {
                        (format!("Container {name} resize requires restart"), None, true)
                    }
                }
            };
        if replaced || restarts(self.pod, wanted, EXIT_KILLED) {
            message.push_str(", will be restarted");
        }
        let own = probe.and_then(|probe| number(wanted.spec, &[probe, "terminationGracePeriodSeconds"]));
        let grace = own.unwrap_or_else(|| self.pod_grace());
        let (id, name) = (found.id.clone(), name.to_owned());
        self.act(Action::Kill { id, name, grace, hook: true, message, replaced });
        false
    }

    /// How long the pod's containers have to end.
    pub(super) fn pod_grace(&self) -> i64 {
        spec::grace(self.pod)
    }
}

/// Of a process that was killed: 128 + SIGKILL.
const EXIT_KILLED: i32 = 137;
