//! Row RT-05: another client drives our runtime; what it may rely on.

use rpc::cri::*;
use testkit::{isolated, wait_for};

use super::{Node, exec};

#[test]
fn rt_05_another_client_drives_our_runtime() {
    isolated(|| {
        let node = Node::new();
        let version = node.ok(node.remote.version(VersionRequest::default()));
        assert_eq!((version.runtime_name.as_str(), version.runtime_api_version.as_str()), ("strake", "v1"));
        let status = node.ok(RuntimeService::status(&node.remote, StatusRequest::default()));
        assert!(status.status.unwrap().conditions.iter().all(|condition| condition.status));
        let config = node.ok(node.remote.runtime_config(RuntimeConfigRequest::default()));
        assert_eq!(config.linux.unwrap().cgroup_driver(), CgroupDriver::Cgroupfs);

        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        assert_eq!(node.sandbox_status(&sandbox).state(), PodSandboxState::SandboxReady);
        let mut config =
            node.container("app", "trap 'echo bye; exit 3' TERM; while true; do sleep 0.1; done");
        config.labels.insert("app".to_owned(), "web".to_owned());
        config.envs = vec![KeyValue { key: "GREETING".to_owned(), value: "hello".into() }];
        let id = node.create(&sandbox, &pod, &config);
        assert_eq!(node.status(&id).state(), ContainerState::ContainerCreated);
        node.ok(node.remote.start_container(StartContainerRequest { container_id: id.clone() }));
        let running = node.status(&id);
        assert_eq!(running.state(), ContainerState::ContainerRunning);
        assert!(running.started_at >= running.created_at && running.created_at > 0);
        assert_eq!(running.labels["app"], "web");
        assert!(running.image_id.starts_with("sha256:"), "{}", running.image_id);
        assert_eq!(node.exec(&id, "echo $GREETING"), "hello");

        node.ok(node.remote.stop_container(StopContainerRequest { container_id: id.clone(), timeout: 10 }));
        let ended = node.status(&id);
        assert_eq!((ended.exit_code, ended.reason.as_str()), (3, "Error"));
        assert!(ended.finished_at > ended.started_at);
        assert!(node.log("web", "app").ends_with(" stdout F bye\n"));
        node.ok(node.remote.remove_container(RemoveContainerRequest { container_id: id.clone() }));
        let gone = node
            .fails(node.remote.container_status(ContainerStatusRequest { container_id: id, verbose: false }));
        assert_eq!(gone.code(), Code::NotFound);
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn what_is_not_there_is_stopped_and_removed() {
    isolated(|| {
        let node = Node::new();
        let none = "f".repeat(64);
        node.ok(node.remote.stop_container(StopContainerRequest { container_id: none.clone(), timeout: 0 }));
        node.ok(node.remote.remove_container(RemoveContainerRequest { container_id: none.clone() }));
        node.ok(node.remote.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: none.clone() }));
        node.remove_sandbox(&none);
        let image = Some(ImageSpec { image: "nothing:1".to_owned(), ..ImageSpec::default() });
        node.ok(node.remote.remove_image(RemoveImageRequest { image: image.clone() }));
        let request = ImageStatusRequest { image, verbose: false };
        assert!(node.ok(node.remote.image_status(request)).image.is_none());

        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let stop = || StopPodSandboxRequest { pod_sandbox_id: sandbox.clone() };
        node.ok(node.remote.stop_pod_sandbox(stop()));
        node.ok(node.remote.stop_pod_sandbox(stop()));
        assert_eq!(node.status(&app).exit_code, 137);
        let status = node.sandbox_status(&sandbox);
        assert_eq!(status.state(), PodSandboxState::SandboxNotready);
        assert_eq!(status.network.unwrap().ip, "");
        // A second sandbox of the same attempt is refused while the first one is there.
        let request = RunPodSandboxRequest { config: Some(pod), runtime_handler: String::new() };
        assert_eq!(node.fails(node.remote.run_pod_sandbox(request)).code(), Code::AlreadyExists);
        node.remove_sandbox(&sandbox);
        node.remove_sandbox(&sandbox);
        let left = node.ok(node.remote.list_containers(ListContainersRequest::default()));
        assert!(left.containers.is_empty());
    });
}

#[test]
fn commands_answer_with_their_output_or_run_out_of_time() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let answer = node.ok(node.remote.exec_sync(exec(&app, "echo out; echo err >&2; exit 7", 0)));
        assert_eq!((&*answer.stdout, &*answer.stderr, answer.exit_code), (&b"out\n"[..], &b"err\n"[..], 7));
        let error = node.fails(node.remote.exec_sync(exec(&app, "exec sleep 500", 1)));
        assert_eq!(error.code(), Code::DeadlineExceeded);
        wait_for("the command's end", || {
            (node.exec(&app, "ps | grep -c '[s]leep 500' || true") == "0").then_some(())
        });
        node.ok(node.remote.stop_container(StopContainerRequest { container_id: app.clone(), timeout: 0 }));
        let error = node.fails(node.remote.exec_sync(exec(&app, "true", 1)));
        assert_eq!(error.code(), Code::FailedPrecondition);
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn logs_go_on_in_a_new_file() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done";
        let app = node.run(&sandbox, &pod, &node.container("app", script));
        wait_for("a line", || node.log("web", "app").contains("line 1\n").then_some(()));
        let file = node.logs().join("web/app/0.log");
        let rotated = node.logs().join("web/app/0.log.20260101");
        std::fs::rename(&file, &rotated).unwrap();
        node.ok(node.remote.reopen_container_log(ReopenContainerLogRequest { container_id: app }));
        let fresh =
            wait_for("a line in the new file", || Some(node.log("web", "app")).filter(|log| !log.is_empty()));
        assert!(!fresh.contains("line 1\n"), "{fresh}");
        let fields: Vec<&str> = fresh.lines().next().unwrap().splitn(4, ' ').collect();
        assert_eq!(fields[1..3], ["stdout", "F"]);
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_program_that_is_not_there_is_a_start_error() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let config = ContainerConfig { command: vec!["/nothing".to_owned()], ..node.container("app", "") };
        let id = node.create(&sandbox, &pod, &config);
        node.fails(node.remote.start_container(StartContainerRequest { container_id: id.clone() }));
        let status = node.status(&id);
        assert_eq!(status.state(), ContainerState::ContainerExited);
        assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
        assert!(status.message.contains("/nothing"), "{}", status.message);
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_server_that_is_killed_finds_its_pods_again() {
    isolated(|| {
        let mut node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let short = node.run(
            &sandbox,
            &pod,
            &node.container("short", "until test -e /tmp/end; do sleep 0.05; done; exit 4"),
        );
        let (before, pid) = (node.sandbox_status(&sandbox), node.pid(&app));
        node.exec(&short, "true");
        node.kill();
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "the app goes on");
        node.strake.ok(&["exec", &short, "touch", "/tmp/end"]);
        node.start();
        assert_eq!(node.sandbox_status(&sandbox), before);
        assert_eq!(node.pid(&app), pid);
        assert_eq!(node.status(&app).state(), ContainerState::ContainerRunning);
        assert_eq!(node.ended(&short).exit_code, 4);
        node.exec(&app, "true");
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn events_tell_of_a_pods_life() {
    isolated(|| {
        let node = Node::new();
        let mut events = node.ok(node.remote.get_container_events(GetEventsRequest::default()));
        let mut next = || {
            let event =
                node.runtime.block_on(std::future::poll_fn(|context| events.as_mut().poll_next(context)));
            let event = event.expect("the stream goes on").unwrap();
            (event.container_id.clone(), event.container_event_type(), event)
        };
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        use ContainerEventType::*;
        let expect = |(id, kind, _): (String, ContainerEventType, ContainerEventResponse), of: &str, what| {
            assert_eq!((id.as_str(), kind), (of, what));
        };
        expect(next(), &sandbox, ContainerCreatedEvent);
        expect(next(), &sandbox, ContainerStartedEvent);
        let app = node.run(&sandbox, &pod, &node.container("app", "exit 5"));
        expect(next(), &app, ContainerCreatedEvent);
        // It may end before its start is told of.
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (id, kind, event) = next();
            assert_eq!(id, app);
            assert_eq!(event.pod_sandbox_status.unwrap().id, sandbox);
            kinds.push(kind);
        }
        kinds.sort_by_key(|kind| i32::from(*kind));
        assert_eq!(kinds, [ContainerStartedEvent, ContainerStoppedEvent]);
        assert_eq!(node.ended(&app).exit_code, 5);
        node.remove_sandbox(&sandbox);
        let kinds: Vec<_> = (0..3).map(|_| next()).map(|(id, kind, _)| (id, kind)).collect();
        assert!(kinds.contains(&(sandbox.clone(), ContainerStoppedEvent)), "{kinds:?}");
        assert!(kinds.contains(&(app, ContainerDeletedEvent)), "{kinds:?}");
        assert_eq!(kinds[2], (sandbox, ContainerDeletedEvent));
    });
}

#[test]
fn images_are_found_by_every_name() {
    isolated(|| {
        let node = Node::new();
        let images = node.ok(node.remote.list_images(ListImagesRequest::default())).images;
        let busybox =
            images.iter().find(|image| image.repo_tags == ["docker.io/library/busybox:latest"]).unwrap();
        assert!(busybox.size > 0 && busybox.id.starts_with("sha256:"));
        for name in ["busybox", "docker.io/library/busybox:latest", &busybox.id] {
            let image = Some(ImageSpec { image: name.to_owned(), ..ImageSpec::default() });
            let found = node.ok(node.remote.image_status(ImageStatusRequest { image, verbose: false })).image;
            assert_eq!(found.as_ref(), Some(busybox), "{name}");
        }
        let filesystems = node.ok(node.remote.image_fs_info(ImageFsInfoRequest::default())).image_filesystems;
        assert!(filesystems[0].used_bytes.unwrap().value >= busybox.size);
        let image = Some(ImageSpec { image: busybox.id.clone(), ..ImageSpec::default() });
        node.ok(node.remote.remove_image(RemoveImageRequest { image }));
        let left = node.ok(node.remote.list_images(ListImagesRequest::default())).images;
        assert!(left.iter().all(|image| image.id != busybox.id));
    });
}
