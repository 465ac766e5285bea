//! The node's life: it joins, runs its parts, renews its certificate.

use std::path::Path;
use std::sync::Arc;

use client::{Api, Cache, Call, HttpClient, WatchOptions};
use kube_object::resource::GroupVersionResource;
use serde_json::Value;
use tokio::sync::watch;

use super::Args;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;
use crate::node::Node;
use crate::node::join::{Joined, join};
use crate::notices::{self, Notices};
use crate::signals::Ends;

/// Runs until a signal asks for the end. Pods go on, unless the operator wants otherwise.
pub(super) fn serve(args: &Args, context: &Context) -> Result<Status, CliError> {
    let directory = args.data_dir.clone().unwrap_or_else(|| context.root.join("agent"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("agent").build()?;
    let result = runtime.block_on(run(args, context, &directory));
    runtime.shutdown_background();
    result.map(|()| Status::SUCCESS)
}

async fn run(args: &Args, context: &Context, directory: &Path) -> Result<(), CliError> {
    let mut ends = Ends::take()?;
    let keys = directory.join("pki");
    std::fs::create_dir_all(&keys)
        .map_err(|error| CliError::message(format!("make {}: {error}", keys.display())))?;
    let name = args.node.name();
    let (client, joined) = tokio::select! {
        found = client(args, context, &name, &keys) => found?,
        () = ends.wait() => return Ok(()),
    };
    let api: Arc<dyn Api> = client;
    let client_authority = match &args.client_ca_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| CliError::message(format!("read {}: {error}", path.display())))?,
        None => client_authority(api.as_ref()).await?,
    };
    let (shutdown, ended) = watch::channel(false);
    let (notices, mut said) = notices::channel();
    let node = Node {
        args: args.node.clone(),
        mirror: Cache::start_selected(&api, seen(&name)),
        api,
        client_authority,
        directory: directory.to_owned(),
        notices: notices.clone(),
    };
    let mut tasks = node.start(context, ended.clone()).await?;
    if let Some(joined) = joined {
        tasks.spawn(renewal(joined, notices, ended));
    }
    context.say(format_args!("strake agent: node {name} of {}", args.place()));
    tokio::select! {
        () = ends.wait() => {}
        never = said.pass_on(context) => match never {},
    }
    shutdown.send_replace(true);
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = ends.wait() => {}
        never = said.pass_on(context) => match never {},
    }
    Ok(())
}

/// The API in the node's name: by a certificate that it joins for, or by a kubeconfig that it was given.
async fn client(
    args: &Args,
    context: &Context,
    name: &str,
    keys: &Path,
) -> Result<(Arc<HttpClient>, Option<Joined>), CliError> {
    let Some(server) = &args.server else {
        let cluster = Cluster { kubeconfig: args.kubeconfig.clone(), context: None };
        return Ok((Arc::new(cluster.client(context, "agent")?), None));
    };
    let joined = join(server, args.token(context)?, name, keys).await?;
    Ok((Arc::clone(joined.client()), Some(joined)))
}

/// Renews the node's certificate until the shutdown.
async fn renewal(joined: Joined, notices: Notices, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        never = joined.keep_new(notices) => match never {},
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

/// What a node may see: services and where they lead, nodes, its own pods.
fn seen(node: &str) -> Vec<(GroupVersionResource, WatchOptions)> {
    let own =
        WatchOptions { field_selector: Some(format!("spec.nodeName={node}")), ..WatchOptions::default() };
    let all = WatchOptions::default;
    vec![
        (GroupVersionResource::new("", "v1", "services"), all()),
        (GroupVersionResource::new("discovery.k8s.io", "v1", "endpointslices"), all()),
        (GroupVersionResource::new("", "v1", "nodes"), all()),
        (GroupVersionResource::new("", "v1", "pods"), own),
    ]
}

/// Who signs the certificate that the API server shows to kubelets.
async fn client_authority(api: &dyn Api) -> Result<String, CliError> {
    let maps = GroupVersionResource::new("", "v1", "configmaps");
    let map = api.call(Call::get(&maps, "kube-system", "extension-apiserver-authentication")).await?;
    let found = map.pointer("/data/client-ca-file").and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| {
        CliError::message("config map kube-system/extension-apiserver-authentication has no client-ca-file")
            .with_fix("name the file with the authority's certificates with --client-ca-file")
    })
}
