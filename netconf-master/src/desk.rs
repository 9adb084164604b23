//! Where those who cannot wait meet the controller, which may wait for a disk.
//!
//! Owner: the program. In: questions as closures. Out: answers, news for the pusher, a bell for each new log line.
//! Never: a lock held across an await, more questions at once than there are threads for them.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use zt_engine::Unix;
use zt_wire::{Address, NetworkId};

use crate::controller::{Controller, Outcome, Push};
use crate::limits;

/// The way to a controller for tasks.
#[derive(Debug)]
pub struct Desk {
    controller: Arc<Controller>,
    news: mpsc::Sender<News>,
    bell: watch::Sender<()>,
    seats: Semaphore,
    clock: fn() -> Unix,
}

/// What the pusher has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Members have to be told.
    Push(Push),
    /// A member has asked.
    Pulled {
        /// In which network.
        network: NetworkId,
        /// Who.
        member: Address,
        /// What it has now; `None`: it is no member.
        revision: Option<u64>,
    },
}

impl Desk {
    /// A desk, and where its news arrive.
    pub fn new(
        controller: Arc<Controller>,
        clock: fn() -> Unix,
    ) -> (Arc<Self>, mpsc::Receiver<News>) {
        let (news, received) = mpsc::channel(NEWS);
        let (bell, _) = watch::channel(());
        let seats = Semaphore::new(limits::API_AT_ONCE);
        (
            Arc::new(Self {
                controller,
                news,
                bell,
                seats,
                clock,
            }),
            received,
        )
    }

    /// Reads: runs `question` where it may block. `None` when it panicked or the program ends.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Controller) -> T + Send + 'static,
    ) -> Option<T> {
        // Never closed.
        let _seat = self.seats.acquire().await.ok()?;
        let controller = Arc::clone(&self.controller);
        tokio::task::spawn_blocking(move || question(&controller))
            .await
            .ok()
    }

    /// Changes: the same with the present, and what follows from it goes its way. `None` as with [`Desk::read`].
    pub async fn act<T: Send + 'static, E: Send + 'static>(
        &self,
        act: impl FnOnce(&Controller, Unix) -> Result<Outcome<T>, E> + Send + 'static,
    ) -> Option<Result<T, E>> {
        let now = (self.clock)();
        let done = self.read(move |controller| act(controller, now)).await?;
        Some(match done {
            Ok(outcome) => {
                if !outcome.log.is_empty() {
                    self.bell.send_replace(());
                }
                for push in outcome.pushes {
                    self.tell(News::Push(push)).await;
                }
                Ok(outcome.value)
            }
            Err(refused) => Err(refused),
        })
    }

    /// News for the pusher.
    pub async fn tell(&self, news: News) {
        // Without a pusher the program is ending.
        let _ended = self.news.send(news).await;
    }

    /// Rings after each new line of the log.
    pub fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}

/// News that may wait for the pusher; then callers wait.
const NEWS: usize = 1024;
