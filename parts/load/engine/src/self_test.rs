//! An experiment on the concurrency that the generator stands on: many tasks, few workers, one bounded channel.
//!
//! Each of [`TASKS`] tasks hands a job to the channel, which holds [`CAPACITY`], and waits for its answer; [`WORKERS`]
//! workers take jobs and answer them. So all tasks are alive at once, nearly all of them wait, and nothing may be lost:
//! the answers are added up and must be right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::usage;

/// How many tasks there are.
const TASKS: u64 = 10_000;
/// How many workers there are.
const WORKERS: usize = 5;
/// How many jobs the channel holds.
const CAPACITY: usize = 100;

/// What the experiment measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SelfTest {
    /// How many tasks there were.
    pub tasks: u64,
    /// How many workers there were.
    pub workers: usize,
    /// How many jobs the channel held.
    pub capacity: usize,
    /// From the first task's start to the last answer.
    #[serde(with = "purlin_load_model::seconds")]
    pub took: Duration,
    /// Starting the runtime and its workers, and stopping them: without the tasks.
    #[serde(with = "purlin_load_model::seconds")]
    pub start_and_stop: Duration,
    /// The largest resident memory of the process, in bytes.
    pub max_rss: u64,
}

struct Job {
    number: u64,
    answer: oneshot::Sender<u64>,
}

/// Runs the experiment once. Fails when an answer is missing or wrong.
pub fn self_test() -> std::io::Result<SelfTest> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Builder::new_multi_thread().worker_threads(threads).build()?;
    let (jobs, receiver) = mpsc::channel::<Job>(CAPACITY);
    let receiver = Arc::new(Mutex::new(receiver));
    let workers: Vec<_> = (0..WORKERS).map(|_| runtime.spawn(work(receiver.clone()))).collect();
    let started = began.elapsed();

    let began = Instant::now();
    let sum = runtime.block_on(ask_all(jobs));
    let took = began.elapsed();

    let began = Instant::now();
    runtime.block_on(async {
        for worker in workers {
            let _ = worker.await;
        }
    });
    drop(runtime);
    let start_and_stop = started + began.elapsed();
    if sum != (0..TASKS).map(answer).sum::<u64>() {
        return Err(std::io::Error::other("answers were lost"));
    }
    Ok(SelfTest { tasks: TASKS, workers: WORKERS, capacity: CAPACITY, took, start_and_stop, max_rss: usage::max_rss() })
}

async fn work(jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let job = jobs.lock().await.recv().await;
        let Some(job) = job else { return };
        let _ = job.answer.send(answer(job.number));
    }
}

async fn ask_all(jobs: mpsc::Sender<Job>) -> u64 {
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let jobs = jobs.clone();
        tasks.spawn(async move {
            let (answer, answered) = oneshot::channel();
            let _ = jobs.send(Job { number, answer }).await;
            answered.await.unwrap_or(0)
        });
    }
    let mut sum = 0_u64;
    while let Some(answer) = tasks.join_next().await {
        sum += answer.unwrap_or(0);
    }
    sum
}

fn answer(number: u64) -> u64 {
    number * 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tasks_are_answered() {
        let measured = self_test().unwrap();
        assert_eq!((measured.tasks, measured.workers), (10_000, 5));
        assert!(measured.took > Duration::ZERO && measured.max_rss > 0);
    }
}
