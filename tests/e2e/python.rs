//! The official Python client, unmodified.

use crate::platform::Platform;

#[tokio::test]
async fn everyday_work() -> anyhow::Result<()> {
    let platform = Platform::up().await?;
    let said = platform.python("everyday.py", &[]).await?;
    anyhow::ensure!(said.code == Some(0), "{}{}", said.out, said.err);
    Ok(())
}
