//! Servers that others wrote: Python's own HTTP server, its TLS (OpenSSL), and the WebSockets of its `websockets`.

use anyhow::Context as _;
use purlin_testkit::PATIENCE;
use purlin_testkit::process::{Launch, Process};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::{SOON, all_good, count, load, result, result_of};
use crate::platform::peer;

/// `clients/target.py`, and the address where it serves `what`.
async fn serve(what: &[&str]) -> anyhow::Result<(Process, String)> {
    let script = format!("{}/clients/target.py", env!("CARGO_MANIFEST_DIR"));
    let launch = Launch::new(peer("python")?, [&[script.as_str()], what].concat());
    let server = launch.start(PATIENCE).await?;
    let port = server.ready["port"].as_u64().context("it does not tell its port")?;
    Ok((server, format!("127.0.0.1:{port}")))
}

/// An authority of its own, which has signed a certificate for `good.test` and 127.0.0.1.
struct Pki {
    directory: TempDir,
}

impl Pki {
    fn make() -> anyhow::Result<Pki> {
        let directory = purlin_testkit::temp_dir()?;
        let mut authority = CertificateParams::new([])?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        std::fs::write(directory.path().join("ca"), authority.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate()?;
        let names = ["good.test".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        std::fs::write(directory.path().join("leaf"), leaf.pem())?;
        std::fs::write(directory.path().join("key"), key.serialize_pem())?;
        Ok(Pki { directory })
    }

    /// The file of the authority (`ca`), the certificate (`leaf`), or its key (`key`).
    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

#[tokio::test]
async fn pythons_http_server_is_loaded() -> anyhow::Result<()> {
    let (_server, address) = serve(&["http"]).await?;
    let url = format!("http://{address}/a?b=c");
    all_good(&result(&[&url]).await?)?;
    all_good(&result(&[&url, "-b", "${uuid}"]).await?)?;
    // It speaks HTTP/1.1 alone.
    let said = load(&[&SOON[..], &[&url, "--protocol", "http2", "-o", "json"]].concat()).await?;
    let result = result_of(&said)?;
    anyhow::ensure!(count(&result, "/figures/succeeded") == 0 && said.code.is_some_and(|code| code < 4), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn its_certificate_is_trusted_or_not() -> anyhow::Result<()> {
    let (pki, stranger) = (Pki::make()?, Pki::make()?);
    let (_server, address) = serve(&["http", &pki.file("leaf"), &pki.file("key")]).await?;
    let url = format!("https://{address}/");
    let (ca, strange) = (pki.file("ca"), stranger.file("ca"));
    all_good(&result(&[&url, "--ca-file", &ca]).await?)?;
    all_good(&result(&[&url, "--ca-file", &ca, "--server-name", "good.test"]).await?)?;
    all_good(&result(&[&url, "--ca-file", &ca, "--processes", "2"]).await?)?;
    all_good(&result(&[&url, "--insecure"]).await?)?;
    for wrong in [&["--ca-file", strange.as_str()][..], &["--ca-file", &ca, "--server-name", "bad.test"], &[]] {
        let said = load(&[&SOON[..], &[&url, "-o", "json"], wrong].concat()).await?;
        anyhow::ensure!(said.code == Some(3) && said.err.contains("no request reached"), "{wrong:?}: {said:?}");
        let result = result_of(&said)?;
        anyhow::ensure!(said.err.contains("TLS failed: "), "it does not say why: {said:?}");
        let tls = count(&result, "/tally/steps/0/errors/tls");
        anyhow::ensure!(tls > 0 && tls == count(&result, "/figures/sent"), "{wrong:?}: {result}");
    }
    let key = pki.file("key");
    let said = load(&[&SOON[..], &[&url, "--ca-file", &key]].concat()).await?;
    anyhow::ensure!(said.code == Some(2) && said.err.contains("--ca-file: there is no certificate in it"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn its_websockets_are_loaded() -> anyhow::Result<()> {
    let pki = Pki::make()?;
    let (_plain, plain) = serve(&["websocket"]).await?;
    let (_secure, secure) = serve(&["websocket", &pki.file("leaf"), &pki.file("key")]).await?;
    let message = ["--message", "hello ${uuid}"];
    all_good(&result(&[&[format!("ws://{plain}/a").as_str()], &message[..]].concat()).await?)?;
    let (url, ca) = (format!("wss://{secure}/a"), pki.file("ca"));
    all_good(&result(&[&[url.as_str(), "--ca-file", &ca], &message[..]].concat()).await?)?;
    Ok(())
}
