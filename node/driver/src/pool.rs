//! Threads for slow pure work: key agreement, signatures, proof of work.
//!
//! Owner: the runtime. In: `Work` with its id. Out: `Done`, in any order.
//! Never: more waiting than the limit; priority over the packets.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use zt_engine::interface::WorkId;
use zt_engine::{Done, Work};

/// Running threads and their queue. Dropping it ends the threads after the job at hand.
#[derive(Debug)]
pub struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<(WorkId, Work)>,
    closed: bool,
}

impl Pool {
    /// Starts `threads` threads that give each result to `done`.
    ///
    /// # Errors
    /// The kernel's reason when it gives no thread.
    pub fn start(
        threads: usize,
        done: impl Fn(WorkId, Done) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let threads = (0..threads.max(1))
            .map(|index| {
                let (queue, done) = (Arc::clone(&queue), done.clone());
                std::thread::Builder::new()
                    .name(format!("zt-work-{index}"))
                    .stack_size(STACK)
                    .spawn(move || work(&queue, &done))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { queue, threads })
    }

    /// Queues a job. Returns whether there was room.
    pub fn submit(&self, id: WorkId, work: Work) -> bool {
        let mut waiting = self.queue.lock();
        if waiting.jobs.len() >= WAITING {
            return false;
        }
        waiting.jobs.push_back((id, work));
        drop(waiting);
        self.queue.news.notify_one();
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.queue.news.notify_all();
        for thread in self.threads.drain(..) {
            // A panicked job was reported by the panic hook; there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Jobs run outside the lock, so a panicked one leaves the queue whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(WorkId, Work)> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .news
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work(queue: &Queue, done: &impl Fn(WorkId, Done)) {
    // On Linux the priority is the calling thread's alone.
    if let Err(errno) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%errno, "slow work keeps its priority");
    }
    while let Some((id, work)) = queue.next() {
        done(id, work.run());
    }
}

/// Jobs that may wait. The engine has its own, lower limits per kind; this one is the last resort.
const WAITING: usize = 4096;
/// How far slow work steps back behind the packets.
const NICE: i32 = 10;
/// Bytes of stack per thread: ML-KEM needs some tens of KiB.
const STACK: usize = 512 << 10;
