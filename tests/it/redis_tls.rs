//! Redis behind TLS, with a certificate authority of the user's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use darkmux::store::{Redis, RedisClass, RedisTarget};

use crate::support::{Home, RedisServer, describe, free_port};

/// A certificate authority and a server that it vouches for.
pub struct Certificates {
    dir: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dmxtls").tempdir().expect("a folder");
        std::fs::write(
            dir.path().join("server.ext"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n",
        )
        .expect("the server's names");
        let this = Self { dir };
        for name in ["ca", "other"] {
            this.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=fleet-{name} \
                 -keyout {name}.key -out {name}.pem"
            ));
        }
        this.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout server.key \
             -out server.csr",
        );
        this.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext \
             -out server.pem",
        );
        this
    }

    fn openssl(&self, words: &str) {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("openssl is installed: tests/run installs it");
        assert!(output.status.success(), "openssl {words}: {}", describe(&output));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A server that speaks TLS on a second port.
fn server(certificates: &Certificates) -> (RedisServer, u16) {
    let port = free_port();
    let path = |name| certificates.path(name).display().to_string();
    let (tls, key, own, ca) = (port.to_string(), path("server.key"), path("server.pem"), path("ca.pem"));
    let server = RedisServer::with(&[
        "--save",
        "",
        "--tls-port",
        &tls,
        "--tls-key-file",
        &key,
        "--tls-cert-file",
        &own,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    (server, port)
}

async fn ping(url: &str, ca_file: Option<&Path>) -> Result<String, RedisClass> {
    let target = RedisTarget::parse(url).unwrap().with_ca_file(ca_file.map(Path::to_owned));
    Redis::new(target).query(&redis::cmd("PING")).await.map_err(|fault| fault.class())
}

#[tokio::test]
async fn only_the_named_authority_is_trusted_and_only_for_the_servers_name() {
    let certificates = Certificates::new();
    let (server, port) = server(&certificates);
    let (ca, other) = (certificates.path("ca.pem"), certificates.path("other.pem"));
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("rediss://{host}:{port}");
        assert_eq!(ping(&url, Some(&ca)).await.as_deref(), Ok("PONG"), "{host}");
        assert!(ping(&url, Some(&other)).await.is_err(), "another authority");
        assert!(ping(&url, None).await.is_err(), "the system knows no such authority");
    }
    // An address that the certificate does not name.
    assert!(ping(&format!("rediss://[::ffff:127.0.0.1]:{port}"), Some(&ca)).await.is_err());
    assert!(ping(&format!("redis://127.0.0.1:{port}"), None).await.is_err(), "no TLS where TLS is spoken");
    assert!(ping(&format!("rediss://127.0.0.1:{}", server.port()), Some(&ca)).await.is_err());
    let missing = certificates.path("missing.pem");
    assert_eq!(ping(&format!("rediss://localhost:{port}"), Some(&missing)).await, Err(RedisClass::Config));
    let empty = certificates.path("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    assert!(ping(&format!("rediss://localhost:{port}"), Some(&empty)).await.is_err());
}

#[test]
fn the_settings_reach_the_connection() {
    let certificates = Certificates::new();
    let (_server, port) = server(&certificates);
    let home = Home::new()
        .with("DARKMUX_REDIS_URL", format!("rediss://localhost:{port}"))
        .with("DARKMUX_REDIS_CA_FILE", certificates.path("ca.pem").display().to_string());
    let finding = |home: &Home| {
        let doctor = home.run(["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("a report");
        let checks = report["checks"].as_array().expect("checks").clone();
        checks.iter().find(|check| check["name"] == "redis").expect("a check of Redis")["finding"].to_string()
    };
    // It is found, and something else is wrong with it.
    assert!(finding(&home).contains("append-only file is off"), "{}", finding(&home));
    let home = home.with("DARKMUX_REDIS_CA_FILE", certificates.path("other.pem").display().to_string());
    assert!(!finding(&home).contains("append-only file is off"), "{}", finding(&home));
}
