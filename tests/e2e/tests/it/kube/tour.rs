//! A tour of kubectl and helm: what they print where the words are the server's.

use std::os::unix::fs::symlink;

use testkit::kube::{KubeServer, clients};

use super::transcript::play;

/// Plays a transcript on a server of its own, with `kubectl` (1.37), `kubectl135` and `helm` (4).
fn tour(name: &str, text: &str) {
    let (server, clients) = (KubeServer::start(), clients());
    let tools = server.home().join("bin");
    let work = server.home().join("work");
    std::fs::create_dir(&tools).unwrap();
    std::fs::create_dir(&work).unwrap();
    let named =
        [("kubectl", &clients.kubectl), ("kubectl135", &clients.kubectl_135), ("helm", &clients.helm)];
    for (name, path) in named {
        symlink(path, tools.join(name)).unwrap();
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display());
    let steps = play(name, text, &work, |command| {
        command.env("PATH", &path).env("HOME", server.home()).env("KUBECONFIG", server.kubeconfig());
    });
    assert!(steps > 5, "{name} has only {steps} commands");
}

macro_rules! tours {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".txt");
            tour(file, include_str!(concat!("tour/", stringify!($name), ".txt")));
        }
    )*};
}

tours! { apply auth basics cel crd create explain get helm rollout }
