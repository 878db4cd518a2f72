//! Bytes both ways after a change of protocol (WebSocket): begun only once the endpoint has agreed with 101.
//!
//! Either side may end its direction first; the other one goes on (half-close). A drain waits for tunnels as for any
//! exchange, and cuts them at its end.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::sleep;

use crate::pool::Lease;
use crate::record::Record;

/// Copies in a task of its own until both directions have ended.
pub(crate) fn start(client: OnUpgrade, upstream: OnUpgrade, lease: Lease, mut record: Box<Record>) {
    let worker = record.downstream.worker.clone();
    let stop = record.downstream.stop.clone();
    let tasks = worker.tasks.clone();
    drop(tasks.spawn_local(async move {
        let copied = async {
            let (client, upstream) = tokio::try_join!(client, upstream).ok()?;
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            copy_bidirectional(&mut client, &mut upstream).await.ok()
        };
        let cut = async {
            stop.cancelled().await;
            sleep(worker.drain.get()).await;
        };
        tokio::select! {
            copied = copied => match copied {
                Some((up, down)) => {
                    record.upload.bytes.set(up);
                    record.bytes_out = down;
                    record.complete = true;
                }
                None => record.flag = "tunnel_broke_off",
            },
            () = cut => record.flag = "tunnel_cut",
        }
        drop((lease, record));
    }));
}
