//! Stands in for parts that are not on this branch yet; deleted with the merge that brings them.

pub(crate) mod purlin_apiserver {
    use std::net::TcpListener;
    use std::sync::Arc;

    pub(crate) const MIGRATIONS: purlin_store::Migrations =
        purlin_store::Migrations { part: "apiserver", scripts: &[] };

    #[derive(Clone)]
    pub(crate) struct Config {
        pub listener: Arc<TcpListener>,
        pub certificate: Arc<purlin_net::pki::ServingCertificate>,
    }

    pub(crate) async fn run(ctx: purlin_role::Context, config: Config) -> anyhow::Result<()> {
        let gate = ctx.gate("listening");
        let listener = tokio::net::TcpListener::from_std(config.listener.try_clone()?)?;
        let tls = ctx.platform.pki.api_server_config(config.certificate)?;
        gate.open();
        let answer = |_| async { http::Response::new(http_body_util::Full::new(bytes::Bytes::from("{}"))) };
        purlin_net::serve::serve(listener, Some(tls), answer, Default::default(), ctx.shutdown).await;
        Ok(())
    }
}

pub(crate) mod purlin_gateway_proxy {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum AccessLog {
        Off,
        Stderr,
        File(std::path::PathBuf),
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Options {
        pub access_log: AccessLog,
    }

    impl Default for Options {
        fn default() -> Self {
            Options { access_log: AccessLog::Off }
        }
    }
}

pub(crate) mod purlin_gateway {
    #[derive(Clone, Debug, Default)]
    pub(crate) struct AddressPool(String);

    impl std::str::FromStr for AddressPool {
        type Err = std::convert::Infallible;
        fn from_str(text: &str) -> Result<Self, Self::Err> {
            Ok(AddressPool(text.to_owned()))
        }
    }

    #[derive(Clone, Debug, Default)]
    pub(crate) struct Config {
        pub addresses: AddressPool,
        pub proxy: super::purlin_gateway_proxy::Options,
    }

    pub(crate) async fn run(ctx: purlin_role::Context, _: Config) -> anyhow::Result<()> {
        ctx.gate("routes").open();
        ctx.shutdown.cancelled().await;
        Ok(())
    }
}
