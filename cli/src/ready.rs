//! What `up` says once all is ready: one line of JSON for a program, a calm block for a person.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Where everything is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ready {
    /// Always `ready`.
    pub event: &'static str,
    /// Purlin's version.
    pub version: &'static str,
    /// The URL of the Kubernetes API.
    pub api: String,
    /// The URL of the admin listener.
    pub admin: String,
    /// The kubeconfig that leads to the API; none within a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// From the start of the process until the API answered; none when it runs elsewhere.
    pub api_ms: Option<u64>,
    /// From the start of the process until all was ready.
    pub ready_ms: u64,
    /// Whether a gateway runs here, so that the example is served.
    #[serde(skip)]
    pub gateway: bool,
}

impl Ready {
    /// One line of JSON.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// What is where, and what to type next.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("purlin {} is ready after {} ms\n\n", self.version, self.ready_ms);
        let mut row = |name: &str, value: &str| writeln!(out, "  {name:<12}{value}");
        // Writing to a string does not fail.
        let _ = row("API", &self.api);
        let _ = row("Admin", &format!("{} (/livez /readyz /metrics)", self.admin));
        if let Some(path) = &self.kubeconfig {
            let _ = row("Kubeconfig", &path.display().to_string());
        }
        let _ = row("Data", &self.data_dir.display().to_string());
        out.push_str("\nNext, in another terminal:\n\n");
        if let Some(path) = &self.kubeconfig {
            let _ = writeln!(out, "  export KUBECONFIG={}", shell_word(path));
        }
        out.push_str("  kubectl get ns\n");
        if self.gateway {
            out.push_str("  kubectl apply --server-side -f examples/hello/hello.yaml\n");
        }
        out.push_str("\nCtrl-C ends it.");
        out
    }
}

/// `path` as a shell reads it back.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            event: "ready",
            version: "0.1.0",
            api: "https://127.0.0.1:6443".into(),
            admin: "http://127.0.0.1:7070".into(),
            kubeconfig: Some("/home/ada/.local/share/purlin/kubeconfig".into()),
            data_dir: "/home/ada/.local/share/purlin".into(),
            api_ms: Some(120),
            ready_ms: 340,
            gateway: true,
        }
    }

    #[test]
    fn a_person_reads_a_block() {
        insta::assert_snapshot!(ready().text(), @r"
        purlin 0.1.0 is ready after 340 ms

          API         https://127.0.0.1:6443
          Admin       http://127.0.0.1:7070 (/livez /readyz /metrics)
          Kubeconfig  /home/ada/.local/share/purlin/kubeconfig
          Data        /home/ada/.local/share/purlin

        Next, in another terminal:

          export KUBECONFIG=/home/ada/.local/share/purlin/kubeconfig
          kubectl get ns
          kubectl apply --server-side -f examples/hello/hello.yaml

        Ctrl-C ends it.
        ");
    }

    #[test]
    fn without_a_gateway_nothing_of_it_is_advised() {
        assert!(ready().text().contains("hello.yaml"));
        let alone = Ready { gateway: false, ..ready() };
        assert!(alone.text().ends_with("\n  kubectl get ns\n\nCtrl-C ends it."), "{}", alone.text());
    }

    #[test]
    fn a_program_reads_a_line() {
        let expected = r#"{"event":"ready","version":"0.1.0","api":"https://127.0.0.1:6443","admin":"http://127.0.0.1:7070","kubeconfig":"/home/ada/.local/share/purlin/kubeconfig","data_dir":"/home/ada/.local/share/purlin","api_ms":120,"ready_ms":340}"#;
        assert_eq!(ready().json().unwrap(), expected);
    }

    #[test]
    fn paths_are_quoted_where_a_shell_would_read_more_than_a_path() {
        assert_eq!(shell_word(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        assert_eq!(shell_word(Path::new("/a/$HOME")), "'/a/$HOME'");
    }
}
