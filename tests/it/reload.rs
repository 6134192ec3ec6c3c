//! `gateway.toml` changes while the gateway runs.

use std::process::Command;

use wxgate::secret::Secret;
use wxgate::signing::generate_key;

use crate::client::{Browser, DESKTOP, WECHAT, Wire, send};
use crate::process::Process;
use crate::world::{Extra, World, files, gateway_toml, install_crypto, simulator};

/// A route at `/new` that everybody may use, before the others.
fn with_new_route(text: &str, world: &World) -> String {
    let table = format!(
        "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/new\"\nupstream = \"http://{}\"\nauth = \"none\"\n\n[[routes]]",
        world.app.addr
    );
    text.replacen("[[routes]]", &table, 1)
}

fn plain(world: &World, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {DESKTOP}\r\n\r\n",
        world.gateway
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plan_serves_from_the_next_request_on() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    assert_eq!(send(world.gateway, plain(&world, "/new")).await.status, 403);
    let mut kept = Wire::to(world.gateway).await;
    kept.send(plain(&world, "/pay/notify")).await;
    assert_eq!(kept.answer(false).await.status, 200);
    let told = world.reload(|text| with_new_route(&text, &world));
    assert_eq!((told.applied, told.refused), (1, 0), "{told:?}");
    assert!(told.wait_for_restart.is_empty() && told.mistake.is_none());
    // On a connection that was there before, and on a new one.
    kept.send(plain(&world, "/new")).await;
    assert_eq!(kept.answer(false).await.status, 200);
    assert_eq!(send(world.gateway, plain(&world, "/new")).await.status, 200);
    // A route that is gone is gone; who was logged in is.
    world.reload(|text| text.replace("path = \"/new\"", "path = \"/newer\""));
    assert_eq!(send(world.gateway, plain(&world, "/new")).await.status, 403);
    assert_eq!(visitor.open(world.gateway, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_changes_nothing_and_is_told() {
    let world = World::new().await;
    let mut visitor = world.visitor().await;
    let whole = std::fs::read_to_string(world.dir().join("gateway.toml")).unwrap();
    for (wrong, message) in [
        ("[[routes", "gateway.toml:"),
        ("[server]\nlisten = 1\n", "server.listen"),
        ("", "no route"),
        (
            &whole.replace("account = \"shop\"", "account = \"shpo\""),
            "shpo",
        ),
        (
            &whole.replace("\"app_secret\"", "\"no_such_file\""),
            "no_such_file",
        ),
    ] {
        let told = world.reload(|_| wrong.to_owned());
        assert_eq!(told.applied, 0, "{wrong}");
        let (_, told) = told.mistake.expect("a message");
        assert!(told.contains(message), "{told}");
        assert_eq!(visitor.open(world.gateway, "/").await.status, 200);
    }
    // Mended, it holds, and nothing is told of the mistakes any more.
    let told = world.reload(|_| with_new_route(&whole, &world));
    assert_eq!((told.applied, told.refused), (1, 5));
    assert!(told.mistake.is_none());
    assert_eq!(send(world.gateway, plain(&world, "/new")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_under_another_plan_and_its_code_is_spent_once() {
    let world = World::new().await;
    let (mut browser, callback) = world.until_callback("/cart?x=1").await;
    let mut twin = browser.clone();
    world.reload(|text| with_new_route(&text, &world));
    let answer = browser.open(world.gateway, &callback).await;
    assert_eq!(
        answer.location(),
        format!("http://{}/cart?x=1", world.gateway)
    );
    // What is known of the exchange is known under the next plan too.
    world.reload(|text| text.replace("/newer", "/newest"));
    let answer = twin.open(world.gateway, &callback).await;
    assert_eq!(answer.status, 302);
    assert_eq!(world.exchanges(), 1);
    assert_eq!(twin.open(world.gateway, "/cart?x=1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_without_logging_anybody_out_and_one_that_is_gone_opens_nothing() {
    let world = World::with(Extra {
        session: "keys = [{ file = \"key\" }]",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let mut away = visitor.clone();
    let key = generate_key().unwrap();
    std::fs::write(world.dir().join("key2"), Secret::expose(&key)).unwrap();
    world.reload(|text| {
        text.replace(
            "[{ file = \"key\" }]",
            "[{ file = \"key2\" }, { file = \"key\" }]",
        )
    });
    assert_eq!(visitor.open(world.gateway, "/").await.status, 200);
    let mut late = world.visitor().await;
    world.reload(|text| text.replace(", { file = \"key\" }]", "]"));
    // Who came meanwhile has been given the new key's.
    assert_eq!(visitor.open(world.gateway, "/").await.status, 200);
    assert_eq!(away.open(world.gateway, "/").await.status, 302);
    assert_eq!(late.open(world.gateway, "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ended_and_what_was_used_up_stays_so() {
    let world = World::with(Extra {
        limits: "logins_per_minute = 2",
        ..Extra::default()
    })
    .await;
    let mut visitor = world.visitor().await;
    let word = world.admin_word();
    let answer = world.order(&word, "{\"everyone\":true}").await;
    assert_eq!(answer.status, 200);
    world.reload(|text| with_new_route(&text, &world));
    // Ended under the plan before, and the second login of this minute.
    assert_eq!(visitor.open(world.gateway, "/").await.status, 302);
    let mut third = Browser::new(WECHAT);
    assert_eq!(third.open(world.gateway, "/").await.status, 429);
    // Another limit begins to count anew.
    world.reload(|text| text.replace("logins_per_minute = 2", "logins_per_minute = 3"));
    assert_eq!(third.open(world.gateway, "/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_what_it_began_with() {
    let world = World::new().await;
    let visitor = world.visitor().await;
    let mut slow = Wire::to(world.gateway).await;
    slow.send(visitor.request(
        "POST",
        world.gateway,
        "/half",
        &[("Content-Length", "4")],
        b"",
    ))
    .await;
    let came = async {
        while !world
            .app
            .seen()
            .iter()
            .any(|seen| seen.line().contains("/half"))
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    came.await;
    let mut socket = Wire::to(world.gateway).await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    socket
        .send(visitor.request("GET", world.gateway, "/socket", &upgrade, b""))
        .await;
    assert_eq!(socket.answer(false).await.status, 101);
    // The route and its account are gone.
    let nowhere = format!(
        "[[routes]]\nhost = \"elsewhere.test\"\nupstream = \"http://{}\"\nauth = \"none\"\n",
        world.app.addr
    );
    let told = world.reload(|text| {
        let server = text.split("[session]").next().unwrap();
        format!("{server}\n{nowhere}")
    });
    assert!(told.mistake.is_none(), "{told:?}");
    assert_eq!(send(world.gateway, plain(&world, "/")).await.status, 404);
    world.app.go_on.notify_one();
    slow.send("four").await;
    let answer = slow.answer(false).await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, "app got 4".to_owned())
    );
    socket.send("one").await;
    assert_eq!(socket.bytes(3).await, b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_under_a_running_process_is_named_and_the_rest_holds() {
    let world = World::new().await;
    let told = world.reload(|text| {
        let listen = format!("listen = [\"{}\"]", world.gateway);
        let text = text
            .replace(
                &listen,
                "listen = [\"127.0.0.1:1\"]\nthreads = 3\nh2c = true",
            )
            .replace("state_dir = \"state\"", "state_dir = \"elsewhere\"")
            .replace("127.0.0.1:0", "127.0.0.1:2");
        let text = with_new_route(&text, &world);
        format!("{text}\n[store]\nkind = {{ file = \"store.redb\" }}\n\n[log]\nformat = \"json\"\n")
    });
    assert_eq!(
        told.wait_for_restart,
        [
            "server.listen",
            "server.admin_listen",
            "server.h2c",
            "server.threads",
            "server.state_dir",
            "store",
            "log.format"
        ]
    );
    assert_eq!(send(world.gateway, plain(&world, "/new")).await.status, 200);
    assert!(!world.dir().join("store.redb").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_kept_stay_until_a_restart_with_what_was_ended() {
    let world = World::new().await;
    let (mut visitor, mut gone) = (world.visitor().await, world.visitor().await);
    let told = world.reload(|text| text.replace("\"state\"", "\"elsewhere\""));
    assert_eq!(told.wait_for_restart, ["server.state_dir"]);
    assert_eq!(visitor.open(world.gateway, "/").await.status, 200);
    assert!(!world.dir().join("elsewhere").exists());
    let id = gone.open(world.gateway, "/.wxgate/me").await.json();
    let id = id["data"]["session"].as_str().unwrap();
    let order = format!("{{\"session\":\"{id}\"}}");
    let answer = world.order(&world.admin_word(), &order).await;
    assert_eq!(answer.status, 200);
    assert_eq!(gone.open(world.gateway, "/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_listener_that_waits_for_a_restart() {
    let world = World::new().await;
    let cert = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(world.dir().join("a.pem"), cert.cert.pem()).unwrap();
    let key = world.dir().join("a.key");
    std::fs::write(&key, cert.signing_key.serialize_pem()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).unwrap();
    let told = world.reload(|text| {
        text.replace("public_scheme = \"http\"", "public_scheme = \"https\"")
            .replace(
                "[session]",
                "[server.tls]\nlisten = [\"127.0.0.1:3\"]\nredirect_http = true\n\
                 certificates = [{ hosts = [\"127.0.0.1\"], cert = \"a.pem\", key = \"a.key\" }]\n\n[session]",
            )
    });
    assert_eq!(told.wait_for_restart, ["server.tls.listen"], "{told:?}");
    let answer = send(world.gateway, plain(&world, "/pay/notify")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_and_a_change_of_the_file_are_noticed() {
    install_crypto();
    let app = crate::app::App::start().await;
    let any = "127.0.0.1:0".parse().unwrap();
    let simulator = simulator(any).await;
    let files = files();
    let config = files.path().join("gateway.toml");
    let text = gateway_toml(any, app.addr, &simulator, &Extra::default());
    std::fs::write(&config, &text).unwrap();
    let process = Process::start(&["run", "--config", config.to_str().unwrap()]);
    process.wait_for("admin paths on");
    let address = process.written();
    let address = address
        .lines()
        .find_map(|line| line.split("listening on ").nth(1))
        .unwrap();
    let gateway: std::net::SocketAddr = address.parse().unwrap();
    let status = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {gateway}\r\nAccept: */*\r\n\r\n");
        send(gateway, request).await.status
    };
    // Nobody says so, and it is seen all the same.
    let open = format!(
        "[[routes]]\nhost = \"127.0.0.1\"\npath = \"/new\"\nupstream = \"http://{}\"\nauth = \"none\"\n",
        app.addr
    );
    assert_eq!(status("/new").await, 403);
    std::fs::write(&config, format!("{text}\n{open}")).unwrap();
    process.wait_for("was read anew and holds");
    assert_eq!(status("/new").await, 200);
    std::fs::write(&config, "nonsense").unwrap();
    process.wait_for("changes nothing");
    process.wait_for("gateway.toml:1");
    assert_eq!(status("/new").await, 200);
    // At once, at a signal.
    std::fs::write(&config, &text).unwrap();
    let kill = format!("kill -HUP {}", process.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    process.wait_for("was read anew and holds");
    assert_eq!(status("/new").await, 403);
    // Less is written from now on, and then more.
    let quiet = text.clone() + "\n[log]\nlevel = \"error\"\n";
    std::fs::write(&config, quiet).unwrap();
    let gone = async {
        loop {
            let before = process.written().len();
            status("/pay/notify").await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            if process.written().len() == before {
                break;
            }
        }
    };
    let gone = tokio::time::timeout(std::time::Duration::from_secs(20), gone).await;
    gone.expect("a line for each request no more");
    std::fs::write(&config, &text).unwrap();
    process.wait_for("was read anew and holds");
    assert!(process.terminate().success());
}
