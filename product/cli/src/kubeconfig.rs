//! How commands that are clients of a cluster reach it: which kubeconfig, and what its files hold.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::HttpClient;
use client::http::Endpoint;
use kube_object::yaml;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::CliError;

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Cluster {
    /// The kubeconfig (default: $KUBECONFIG, this machine's server, ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in it (default: its current one)
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl Cluster {
    /// A client that calls itself `strake-AGENT`; it connects with the first request.
    pub fn client(&self, context: &Context, agent: &str) -> Result<HttpClient, CliError> {
        Ok(HttpClient::new(self.endpoint(context, agent)?))
    }

    /// Where the server is, whom to trust, and as whom to come.
    pub fn endpoint(&self, context: &Context, agent: &str) -> Result<Endpoint, CliError> {
        let path = self.path(context)?;
        let wrong = |what: String| CliError::message(format!("kubeconfig {}: {what}", path.display()));
        let bytes = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        let mut config = yaml::read(&bytes).map_err(|error| wrong(error.to_string()))?.value;
        if let (Some(name), Some(config)) = (&self.context, config.as_object_mut()) {
            config.insert("current-context".to_owned(), json!(name));
        }
        inline(&mut config, path.parent().unwrap_or(Path::new("/"))).map_err(wrong)?;
        let agent = format!("strake-{agent}/{}", env!("CARGO_PKG_VERSION"));
        Endpoint::from_kubeconfig(&config, &agent).map_err(|error| wrong(engine::error_chain(&error)))
    }

    fn path(&self, context: &Context) -> Result<PathBuf, CliError> {
        if let Some(given) = &self.kubeconfig {
            return Ok(given.clone());
        }
        let listed = context.environment.variable("KUBECONFIG").unwrap_or_default().split(':');
        let own = context.root.join("server/admin.kubeconfig");
        let home = context.environment.variable("HOME").map(|home| Path::new(home).join(".kube/config"));
        let mut all = listed.filter(|path| !path.is_empty()).map(PathBuf::from).chain([own]).chain(home);
        all.find(|path| path.exists()).ok_or_else(|| {
            CliError::message("there is no kubeconfig: no cluster to ask")
                .with_fix("start one with `strake server`, or name a file with --kubeconfig")
        })
    }
}

/// The members that name a file, and those that hold its content.
const FILES: &[(&str, &str, &str, &str)] = &[
    ("clusters", "cluster", "certificate-authority", "certificate-authority-data"),
    ("users", "user", "client-certificate", "client-certificate-data"),
    ("users", "user", "client-key", "client-key-data"),
    ("users", "user", "tokenFile", "token"),
];

/// Takes into the kubeconfig what it keeps in files beside it.
fn inline(config: &mut Value, beside: &Path) -> Result<(), String> {
    for (list, entry, file, data) in FILES {
        let entries = config.get_mut(list).and_then(Value::as_array_mut);
        for found in entries.into_iter().flatten() {
            let Some(found) = found.get_mut(entry).and_then(Value::as_object_mut) else { continue };
            let Some(path) = found.get(*file).and_then(Value::as_str).map(|path| beside.join(path)) else {
                continue;
            };
            if found.contains_key(*data) {
                continue;
            }
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let text = if *data == "token" {
                String::from_utf8_lossy(&bytes).trim().to_owned()
            } else {
                STANDARD.encode(bytes)
            };
            found.insert((*data).to_owned(), json!(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_a_kubeconfig_are_read() {
        let place = std::env::temp_dir().join(format!("strake-kubeconfig-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("ca.pem"), "authority").unwrap();
        fs::write(place.join("token"), "secret\n").unwrap();
        let mut config = json!({
            "clusters": [{"name": "a", "cluster": {"certificate-authority": "ca.pem"}}],
            "users": [{"name": "b", "user": {"tokenFile": "token"}},
                {"name": "c", "user": {"token": "given", "tokenFile": "token"}}],
        });
        inline(&mut config, &place).unwrap();
        assert_eq!(
            config["clusters"][0]["cluster"]["certificate-authority-data"],
            STANDARD.encode("authority")
        );
        assert_eq!(config["users"][0]["user"]["token"], "secret");
        assert_eq!(config["users"][1]["user"]["token"], "given");
        let mut missing = json!({"users": [{"user": {"client-key": "nowhere"}}]});
        assert!(inline(&mut missing, &place).unwrap_err().contains("nowhere"));
        fs::remove_dir_all(place).unwrap();
    }
}
