//! Other machines: what they are not served, and TLS.

use std::future::pending;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_flight::sql::client::FlightSqlServiceClient;
use tonic::transport::{ClientTlsConfig, Endpoint};
use voxql::access::Access;
use voxql::server::users::Role;
use voxql::server::{Options, Server, Tls};
use voxql::session::{Session, Settings};

use super::{ask, number, on_a_free_port, serve, users_file};

async fn bound(access: &Access, options: &Options) -> Result<Server, String> {
    let settings = Settings {
        access: access.clone(),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, options, threads).await;
    server.map_err(|error| error.to_string())
}

#[tokio::test]
async fn other_machines_are_not_served_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let users = users_file(folder.path(), &[("ana", Role::ReadWrite, "correct horse")]);
    let tls = certificate(folder.path());
    let (all, limited) = (Access::default(), Access::within(&[]).unwrap());
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:31337"] {
        for (access, users, tls, said) in [
            (&limited, None, None, "--users"),
            (&limited, Some(&users), None, "--tls-cert"),
            (&limited, None, Some(&tls), "--users"),
            (&all, Some(&users), Some(&tls), "every file"),
        ] {
            let options = Options {
                listen: listen.parse().unwrap(),
                users: users.cloned(),
                tls: tls.cloned(),
                ..on_a_free_port()
            };
            let error = bound(access, &options).await.err().unwrap();
            assert!(
                error.contains("other machines reach") && error.contains(said),
                "{error}"
            );
        }
    }
    let everywhere = Options {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..on_a_free_port()
    };
    let secure = Options {
        users: Some(users),
        tls: Some(tls),
        ..everywhere.clone()
    };
    assert!(bound(&limited, &secure).await.is_ok());
    let insecure = Options {
        allow_insecure_remote: true,
        ..everywhere
    };
    assert!(bound(&all, &insecure).await.is_ok());
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "# nobody\n").unwrap();
    let nobody = Options {
        users: Some(empty),
        ..on_a_free_port()
    };
    let error = bound(&all, &nobody).await.err().unwrap();
    assert!(error.contains("no users"), "{error}");
}

/// A certificate that the program made.
fn certificate(folder: &Path) -> Tls {
    let made = Command::new(env!("CARGO_BIN_EXE_voxql"))
        .args([
            "certificate",
            "--host",
            "localhost",
            "--host",
            "127.0.0.1",
            "--dir",
        ])
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    Tls {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let root = std::fs::read(&tls.certificate).unwrap();
    let options = Options {
        tls: Some(tls.clone()),
        ..on_a_free_port()
    };
    let (_, address) = serve(&options).await;
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    let config =
        ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(root));
    let channel = endpoint
        .clone()
        .tls_config(config)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    assert_eq!(number(&mut client, "SELECT 7").await, 7);
    // Whoever does not trust the certificate, or does not encrypt, is not served.
    let untrusting = endpoint.tls_config(ClientTlsConfig::new()).unwrap();
    assert!(untrusting.connect().await.is_err());
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
    if let Ok(channel) = plain.connect().await {
        assert!(
            ask(&mut FlightSqlServiceClient::new(channel), "SELECT 7")
                .await
                .is_err()
        );
    }
    // A key that is none.
    let options = Options {
        tls: Some(Tls {
            key: tls.certificate.clone(),
            ..tls
        }),
        ..on_a_free_port()
    };
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, &options, threads).await.unwrap();
    let error = server.run(pending()).await.unwrap_err().to_string();
    assert!(error.contains("--tls-key"), "{error}");
}
