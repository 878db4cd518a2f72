//! HTTPS through the gateway: certificates from Secrets, chosen by the name that a client asks for, changed in place.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use purlin_testkit::{PATIENCE, free_ports, wait_until};
use serde_json::{Value, json};

use crate::platform::Said;
use crate::traffic::{Scene, route, split};

/// A certificate of its own, and its key, in PEM.
fn certificate(host: &str) -> anyhow::Result<(String, String)> {
    let issued = rcgen::generate_simple_self_signed([host.to_owned()])?;
    Ok((issued.cert.pem(), issued.signing_key.serialize_pem()))
}

fn secret(host: &str, certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": host},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    })
}

/// Asks for `/` of `host`, trusting `ca` alone.
async fn ask(scene: &Scene, port: u16, host: &str, ca: &str) -> anyhow::Result<Said> {
    let file = scene.platform.root().join("client").join(format!("{host}.pem"));
    std::fs::write(&file, ca)?;
    let (address, port) = (scene.gateway.ip().to_string(), port.to_string());
    scene.platform.python("https.py", &[&address, &port, host, &file.display().to_string()]).await
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_change_in_place() -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    let [port] = free_ports()?;
    let listener = |host: &str, at: u16, name: &str| {
        let tls = json!({"certificateRefs": [{"name": host}]});
        json!({"name": name, "port": at, "protocol": "HTTPS", "hostname": host, "tls": tls})
    };
    let listeners = json!([
        {"name": "http", "port": scene.gateway.port(), "protocol": "HTTP"},
        listener("a.test", port, "a"),
        listener("b.test", port, "b"),
    ]);
    let (a, a_key) = certificate("a.test")?;
    let (b, b_key) = certificate("b.test")?;
    scene.apply(&[secret("a.test", &a, &a_key), secret("b.test", &b, &b_key)]).await?;
    scene.apply(&[scene.gateway_with(listeners)]).await?;
    scene.add(route("a", "a.test", split(&[("a", 1)]))).await?;
    scene.add(route("b", "b.test", split(&[("b", 1)]))).await?;
    for (host, ca, name) in [("a.test", &a, "\"name\":\"a\""), ("b.test", &b, "\"name\":\"b\"")] {
        let mut last = None;
        let served = wait_until("the host is served over TLS", PATIENCE, async || {
            let said = ask(&scene, port, host, ca).await.ok();
            let good = |said: &Said| said.out.starts_with("TLSv1.3 http/1.1 200") && said.out.contains(name);
            let served = said.as_ref().is_some_and(good);
            last = said;
            served
        });
        let end = served.await;
        anyhow::ensure!(end.is_ok(), "{host}: {last:?}");
    }
    // Who trusts only the other certificate is not served.
    let refused = ask(&scene, port, "a.test", &b).await?;
    anyhow::ensure!(refused.code != Some(0) && refused.err.contains("CERTIFICATE_VERIFY_FAILED"), "{refused:?}");

    let (new, new_key) = certificate("a.test")?;
    let change = json!({"stringData": {"tls.crt": new, "tls.key": new_key}});
    let secrets: Api<Secret> = Api::default_namespaced(scene.platform.client().await?);
    secrets.patch("a.test", &PatchParams::default(), &Patch::Merge(change)).await?;
    let changed = async || ask(&scene, port, "a.test", &new).await.is_ok_and(|said| said.code == Some(0));
    wait_until("the new certificate is served", PATIENCE, changed).await?;

    // A certificate that is not there stops its listener, and says so.
    let lost = json!([
        {"name": "http", "port": scene.gateway.port(), "protocol": "HTTP"},
        listener("c.test", port, "c"),
    ]);
    scene.apply(&[scene.gateway_with(lost)]).await?;
    let path = "jsonpath={.status.listeners[?(@.name==\"c\")].conditions[?(@.type==\"ResolvedRefs\")].reason}";
    let arguments = ["get", "gateway", "front", "-o", path];
    let told =
        async || scene.platform.kubectl_ok(&arguments, "").await.is_ok_and(|reason| reason == "InvalidCertificateRef");
    wait_until("the missing certificate is told", PATIENCE, told).await
}
