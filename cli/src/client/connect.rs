//! Which API server is asked: `--kubeconfig`, else `KUBECONFIG`, else that of `purlin up`, else `~/.kube/config`, else
//! the cluster that this process runs in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::data_dir;
use crate::exit;
use crate::failure::Failure;

/// What the command line says about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; its current one where none is named.
    pub context: Option<String>,
}

/// A way to an API server.
pub(crate) struct Connection {
    /// Sends requests.
    pub client: kube::Client,
    /// The server's URL.
    pub url: String,
    /// Where that was found; none within a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of objects that name none.
    pub namespace: String,
}

/// Makes a client of the API server that is selected. Nothing is sent yet.
pub(crate) async fn connect(selection: &Selection) -> Result<Connection, Failure> {
    let exists = |path: &Path| path.exists();
    let platform = data_dir::resolve(None).ok().map(|dir| dir.join("kubeconfig"));
    let source = choose(selection.kubeconfig.as_deref(), platform, |name| std::env::var_os(name), exists);
    let (config, kubeconfig) = match source {
        Source::Files(paths) => {
            let named = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            let config = from_files(&paths, selection.context.clone()).await;
            (config.with_context(|| format!("cannot use the kubeconfig {named}"))?, paths.into_iter().next())
        }
        Source::Cluster => (Config::incluster().context("cannot use this cluster's service account")?, None),
        Source::Nothing => {
            return Err(Failure::new(exit::UNREACHABLE, anyhow::anyhow!("there is no kubeconfig"))
                .hint("start the platform with `purlin up`, or name a kubeconfig with --kubeconfig or KUBECONFIG"));
        }
    };
    let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let namespace = config.default_namespace.clone();
    let client = kube::Client::try_from(config).with_context(|| format!("cannot make a client of {url}"))?;
    Ok(Connection { client, url, kubeconfig, namespace })
}

async fn from_files(paths: &[PathBuf], context: Option<String>) -> anyhow::Result<Config> {
    let mut merged = Kubeconfig::default();
    for path in paths {
        let one = Kubeconfig::read_from(path).map_err(|error| match error {
            // Said as a source, since kube prints the path twice quoted.
            KubeconfigError::ReadConfig(source, _) => anyhow::Error::from(source),
            error => error.into(),
        })?;
        merged = merged.merge(one)?;
    }
    Ok(Config::from_custom_kubeconfig(merged, &KubeConfigOptions { context, ..Default::default() }).await?)
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// These files, merged.
    Files(Vec<PathBuf>),
    /// The service account of the pod that this process runs in.
    Cluster,
    /// There is none.
    Nothing,
}

/// Of the files that `KUBECONFIG` lists those count that are there, as with kubectl; one alone must be there.
fn choose(
    option: Option<&Path>,
    platform: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
    exists: impl Fn(&Path) -> bool,
) -> Source {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = option {
        return Source::Files(vec![path.to_owned()]);
    }
    if let Some(list) = set("KUBECONFIG") {
        let listed: Vec<PathBuf> = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
        let found: Vec<PathBuf> = listed.iter().filter(|path| exists(path)).cloned().collect();
        return Source::Files(if found.is_empty() { listed } else { found });
    }
    let home = set("HOME").map(|home| Path::new(&home).join(".kube/config"));
    match platform.into_iter().chain(home).find(|path| exists(path)) {
        Some(path) => Source::Files(vec![path]),
        None if set("KUBERNETES_SERVICE_HOST").is_some() => Source::Cluster,
        None => Source::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_is_chosen_in_order() {
        let check = |option: Option<&str>, environment: &[(&str, &str)], there: &[&str], expected: &[&str]| {
            let variable =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            let exists = |path: &Path| there.contains(&path.to_str().unwrap());
            let found = choose(option.map(Path::new), Some("/data/kubeconfig".into()), variable, exists);
            assert_eq!(
                found,
                Source::Files(expected.iter().map(PathBuf::from).collect()),
                "{option:?} {environment:?}"
            );
        };
        let all = ["/data/kubeconfig", "/h/.kube/config", "/a", "/b"];
        let environment = [("KUBECONFIG", "/a:/missing:/b"), ("HOME", "/h")];
        check(Some("given"), &environment, &all, &["given"]);
        check(None, &environment, &all, &["/a", "/b"]);
        check(None, &environment, &[], &["/a", "/missing", "/b"]);
        check(None, &environment[1..], &all, &["/data/kubeconfig"]);
        check(None, &environment[1..], &all[1..], &["/h/.kube/config"]);
        check(None, &[("KUBECONFIG", ""), ("HOME", "/h")], &all[1..], &["/h/.kube/config"]);
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named_once() {
        let selection = Selection { kubeconfig: Some("/missing/config".into()), context: None };
        let failed = connect(&selection).await.err().unwrap().to_string();
        let expected =
            "error: cannot use the kubeconfig /missing/config\n  caused by: No such file or directory (os error 2)";
        assert_eq!(failed, expected);
    }

    #[test]
    fn a_pod_asks_its_own_cluster_where_no_file_says_otherwise() {
        let cluster = |name: &str| (name == "KUBERNETES_SERVICE_HOST").then(|| "10.0.0.1".into());
        assert_eq!(choose(None, None, cluster, |_| false), Source::Cluster);
        assert_eq!(choose(None, None, |_| None, |_| false), Source::Nothing);
    }
}
