//! The connection to Redis: real servers, real faults.

use std::time::{Duration, Instant};

use darkmux::store::{Password, Redis, RedisClass, RedisTarget};
use darkmux::util::Secret;

use crate::support::{Fault, FaultProxy, RedisServer};

fn redis(url: &str) -> Redis {
    Redis::new(RedisTarget::parse(url).unwrap())
}

async fn ping(redis: &Redis) -> Result<String, RedisClass> {
    redis.query(&redis::cmd("PING")).await.map_err(|fault| fault.class())
}

#[tokio::test]
async fn a_restarted_server_is_found_again_and_known_as_another() {
    let mut server = RedisServer::start();
    let redis = redis(&server.url());
    assert_eq!(ping(&redis).await.unwrap(), "PONG");
    let first = redis.server().borrow().clone().unwrap();
    assert!(first.version.starts_with(char::is_numeric), "{first:?}");
    server.kill();
    assert_eq!(ping(&redis).await, Err(RedisClass::Unreachable));
    server.restart();
    let began = Instant::now();
    while ping(&redis).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert_ne!(redis.server().borrow().as_ref().unwrap().run_id, first.run_id);
}

#[tokio::test]
async fn a_caller_that_does_not_go_on_while_it_dials_holds_up_nobody() {
    let server = RedisServer::start();
    let redis = redis(&server.url());
    let mut first = std::pin::pin!(ping(&redis));
    tokio::select! {
        biased;
        _ = &mut first => panic!("a connection takes longer than one look"),
        () = std::future::ready(()) => {}
    }
    // As in a task that waits for one thing and was in the midst of another.
    let second = tokio::time::timeout(Duration::from_secs(10), ping(&redis)).await;
    assert_eq!(second.expect("nobody holds it up").unwrap(), "PONG");
    assert_eq!(first.await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_dial_that_its_caller_gave_up_serves_the_next() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let redis = redis(&proxy.url());
    proxy.set(Fault::BlackHole);
    let given_up = tokio::time::timeout(Duration::from_millis(50), ping(&redis)).await;
    assert!(given_up.is_err());
    assert_eq!(ping(&redis).await, Err(RedisClass::Silent));
    proxy.set(Fault::None);
    let began = Instant::now();
    while ping(&redis).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_bounded_time_and_nothing_afterwards() {
    let server = RedisServer::start();
    let redis = redis(&server.url());
    ping(&redis).await.unwrap();
    server.freeze();
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(ping(&redis).await, Err(RedisClass::Silent));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    server.thaw();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ping(&redis).await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_noticed() {
    let server = RedisServer::start();
    let proxy = FaultProxy::before(server.port());
    let redis = redis(&proxy.url());
    ping(&redis).await.unwrap();
    for fault in [Fault::BlackHole, Fault::Reset, Fault::DropReplies] {
        proxy.set(fault);
        assert!(ping(&redis).await.unwrap_err().is_transient(), "{fault:?}");
        proxy.set(Fault::None);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(ping(&redis).await.unwrap(), "PONG", "after {fault:?}");
    }
    proxy.set(Fault::Delay);
    assert_eq!(ping(&redis).await.unwrap(), "PONG");
}

#[tokio::test]
async fn the_password_comes_from_file_and_command_and_a_wrong_one_is_said_without_it() {
    let server = RedisServer::with(&["--requirepass", "canary-pw", "--save", ""]);
    let target = || RedisTarget::parse(&server.url()).unwrap();
    let file = server.dir().join("password");
    std::fs::write(&file, "canary-pw\n").unwrap();
    let command = vec!["cat".to_owned(), file.display().to_string()];
    for password in
        [Password::File(file), Password::Command(command), Password::Given(Secret::new("canary-pw"))]
    {
        assert_eq!(ping(&Redis::new(target().with_password(password))).await.unwrap(), "PONG");
    }
    assert_eq!(ping(&redis(&server.url())).await, Err(RedisClass::Auth));
    let wrong = Redis::new(target().with_password(Password::Given(Secret::new("wrong-canary"))));
    let fault = wrong.query::<String>(&redis::cmd("PING")).await.unwrap_err();
    assert_eq!(fault.class(), RedisClass::Auth);
    assert!(!fault.to_string().contains("canary"), "{fault}");
    assert!(!format!("{wrong:?}{fault:?}").contains("canary"));
    let missing = Redis::new(target().with_password(Password::File("/nowhere/password".into())));
    assert_eq!(ping(&missing).await, Err(RedisClass::Config));
}

#[tokio::test]
async fn a_unix_socket_and_a_blocking_reader_of_its_own() {
    let server = RedisServer::start();
    let path = server.dir().join("redis.sock");
    let redis = redis(&format!("unix://{}", path.display()));
    let mut reader = redis.reader(Duration::from_secs(2)).await.unwrap();
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK").arg(2000).arg("STREAMS").arg("s").arg("$");
    let blocked = async { reader.query::<redis::Value>(&read).await };
    let others = async {
        // The reader's wait is nobody else's.
        let began = Instant::now();
        ping(&redis).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(500));
        let mut add = redis::cmd("XADD");
        add.arg("s").arg("*").arg("k").arg("v");
        redis.query::<String>(&add).await.unwrap();
    };
    let (read, ()) = tokio::join!(blocked, others);
    assert!(!matches!(read.unwrap(), redis::Value::Nil));
}

#[tokio::test]
async fn errors_have_classes() {
    let server = RedisServer::start();
    let redis = redis(&server.url());
    let class = async |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        redis.query::<redis::Value>(&command).await.unwrap_err().class()
    };
    server.cli(&["SET", "text", "x"]);
    assert_eq!(class(&["XLEN", "text"]).await, RedisClass::Foreign);
    assert_eq!(class(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "none", ">"]).await, RedisClass::NoGroup);
    assert_eq!(class(&["EVAL", "return redis.call('XLEN','text')", "0"]).await, RedisClass::Foreign);
    let scripts = ["return 1+redis.call('GET','none')", "return redis.call('INCR','text')"];
    for script in scripts {
        assert_eq!(class(&["EVAL", script, "0"]).await, RedisClass::Script, "{script}");
    }
    // Of the server, and of no key.
    assert_eq!(class(&["NOSUCH"]).await, RedisClass::Other);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(class(&["SET", "more", "x"]).await, RedisClass::Oom);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(class(&["SET", "more", "x"]).await, RedisClass::ReadOnly);
}
