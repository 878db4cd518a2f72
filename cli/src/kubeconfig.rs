//! The kubeconfig of the platform's administrator, as kubectl and every Kubernetes client read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands in it.
pub(crate) struct Admin<'a> {
    /// The URL of the API server.
    pub server: &'a str,
    /// The certificate that anchors the server's, in PEM.
    pub root: &'a str,
    /// The client's certificate and its chain, in PEM.
    pub certificate: &'a str,
    /// Its key, in PEM.
    pub key: &'a str,
}

/// Writes it as YAML. Each value is a URL or base64, neither of which YAML takes for anything but text.
pub(crate) fn render(admin: &Admin<'_>) -> String {
    let [root, certificate, key] = [admin.root, admin.certificate, admin.key].map(|pem| STANDARD.encode(pem));
    let server = admin.server;
    format!(
        "apiVersion: v1
kind: Config
current-context: purlin
clusters:
- name: purlin
  cluster:
    server: {server}
    certificate-authority-data: {root}
users:
- name: purlin-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: purlin
  context:
    cluster: purlin
    user: purlin-admin
"
    )
}

#[cfg(test)]
mod tests {
    use kube::config::{Config, KubeConfigOptions, Kubeconfig};
    use std::time::{Duration, SystemTime};

    use purlin_net::pki::Pki;

    use super::*;

    #[test]
    fn it_is_plain_yaml() {
        let admin = Admin { server: "https://127.0.0.1:6443", root: "root", certificate: "certificate", key: "key" };
        insta::assert_snapshot!(render(&admin), @r"
        apiVersion: v1
        kind: Config
        current-context: purlin
        clusters:
        - name: purlin
          cluster:
            server: https://127.0.0.1:6443
            certificate-authority-data: cm9vdA==
        users:
        - name: purlin-admin
          user:
            client-certificate-data: Y2VydGlmaWNhdGU=
            client-key-data: a2V5
        contexts:
        - name: purlin
          context:
            cluster: purlin
            user: purlin-admin
        ");
    }

    #[tokio::test]
    async fn a_client_is_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), SystemTime::now()).unwrap();
        let groups = ["system:masters"];
        let leaf = pki.issue_client("purlin-admin", &groups, Duration::from_secs(60), SystemTime::now()).unwrap();
        let (certificate, key) = (leaf.chain_pem(), leaf.key_pem());
        let admin = Admin { server: "https://[::1]:1", root: pki.root_pem(), certificate: &certificate, key: &key };
        let parsed = Kubeconfig::from_yaml(&render(&admin)).unwrap();
        let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.unwrap();
        assert_eq!(
            (config.cluster_url.to_string(), &*config.default_namespace),
            ("https://[::1]:1/".into(), "default")
        );
        kube::Client::try_from(config).unwrap();
    }
}
