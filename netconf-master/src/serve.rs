//! A controller at work: members' questions from the node, people's from HTTP, epochs by the clock, pushes out.
//!
//! Owner: the program. In: a running node, a desk, a listener. Out: answers, messages to members.
//! Never: a decision, an answer before the store has it.

use core::time::Duration;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinSet;
use zt_driver::{Exit, Handle, Running, clock};
use zt_engine::interface::{Command, Event, HostAnswer, HostRequest, Reply, Ticket};
use zt_wire::{Address, NetworkId};

use crate::controller::Unanswered;
use crate::decide::Who;
use crate::desk::{Desk, News};
use crate::http::Api;
use crate::limits;
use crate::pusher::{Pusher, Telling};
use crate::store::{Store, StoreError};

/// Serves until dropped.
pub async fn serve(
    running: Running,
    desk: Arc<Desk>,
    news: mpsc::Receiver<News>,
    api: Arc<Api>,
    listener: TcpListener,
) -> Exit {
    let Some(Ok(pusher)) = desk.read(|controller| pusher_of(controller.store())).await else {
        tracing::error!("the members cannot be read from the database");
        return Exit::State;
    };
    let handle = running.handle.clone();
    tokio::select! {
        () = answer_members(&handle, running.requests, &desk) => {}
        () = push(&handle, news, pusher) => {}
        () = advance_epochs(&desk) => {}
        () = follow_world(&handle, running.state, &desk) => {}
        () = flush(&desk) => {}
        () = api.serve(listener) => {}
    }
    // Each of them ends only with the node.
    Exit::Failed
}

/// Everybody who may have to be told something.
fn pusher_of(store: &dyn Store) -> Result<Pusher, StoreError> {
    let mut pusher = Pusher::new();
    let mut after = None;
    loop {
        let page = store.networks(after, limits::PAGE_MOST)?;
        let Some(last) = page.last() else {
            return Ok(pusher);
        };
        after = Some(last.id);
        for network in page {
            let mut revision = 0;
            loop {
                let members = store.listed_after(network.id, revision, limits::PAGE_MOST)?;
                let Some(last) = members.last() else {
                    break;
                };
                revision = last.listed;
                for member in members.iter().filter(|member| member.is_in) {
                    pusher.know(network.id, member.address);
                }
            }
        }
    }
}

async fn answer_members(
    handle: &Handle,
    mut requests: mpsc::Receiver<(Ticket, HostRequest)>,
    desk: &Arc<Desk>,
) {
    let seats = Arc::new(Semaphore::new(limits::NETCONF_AT_ONCE));
    let mut answers = JoinSet::new();
    loop {
        // Never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        while answers.try_join_next().is_some() {}
        let Some((ticket, request)) = requests.recv().await else {
            return;
        };
        let HostRequest::Netconf {
            key,
            address,
            endpoint,
            request,
            ..
        } = request
        else {
            // A controller's node asks nothing else.
            continue;
        };
        let endpoint = endpoint.map(|endpoint| endpoint.to_string());
        let who = Who {
            key,
            address,
            endpoint,
        };
        let (handle, desk) = (handle.clone(), Arc::clone(desk));
        answers.spawn(async move {
            answer(&handle, &desk, ticket, who, request).await;
            drop(seat);
        });
    }
}

async fn answer(handle: &Handle, desk: &Desk, ticket: Ticket, who: Who, request: Vec<u8>) {
    let member = who.address;
    let decided = desk
        .act(move |controller, now| controller.netconf(&who, &request, now))
        .await;
    match decided {
        Some(Ok(answer)) => {
            handle.answer(ticket, HostAnswer::Netconf(answer.payload));
            let (network, revision) = (answer.network, answer.pulled);
            desk.tell(News::Pulled {
                network,
                member,
                revision,
            })
            .await;
        }
        Some(Err(Unanswered::Malformed(bad))) => {
            tracing::debug!(%member, %bad, "a request that is none");
        }
        Some(Err(Unanswered::Store(error))) => {
            tracing::error!(%member, %error, "a member gets no answer");
        }
        None => {}
    }
}

/// Tells members what they have to know, and notes who cannot be reached.
async fn push(handle: &Handle, mut news: mpsc::Receiver<News>, mut pusher: Pusher) {
    let seats = Arc::new(Semaphore::new(limits::PUSHES_AT_ONCE));
    let mut telling = JoinSet::new();
    loop {
        let now = clock::now().mono;
        while let Some(next) = pusher.due(now) {
            telling.spawn(tell(handle.clone(), next, Arc::clone(&seats)));
        }
        let pause = pusher.next_deadline().map(|next| next.since(now));
        tokio::select! {
            arrived = news.recv() => match arrived {
                Some(News::Push(push)) => pusher.push(push, clock::now().mono),
                Some(News::Pulled { network, member, revision }) => {
                    pusher.pulled(network, member, revision);
                }
                None => return,
            },
            Some(told) = telling.join_next() => {
                if let Ok(Told { network, to, reached: false }) = told {
                    pusher.unreachable(network, to);
                }
            }
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {}
        }
    }
}

/// How a telling went.
struct Told {
    network: NetworkId,
    to: Address,
    reached: bool,
}

async fn tell(handle: Handle, telling: Telling, seats: Arc<Semaphore>) -> Told {
    let Telling {
        network,
        to,
        messages,
    } = telling;
    // Never closed.
    let _seat = seats.acquire().await;
    let mut reached = true;
    for message in messages {
        let reply = handle.command(Command::Push { to, message }).await;
        reached &= matches!(reply, Reply::Done);
    }
    Told {
        network,
        to,
        reached,
    }
}

/// Begins epochs when they are due; looks again whenever something changed.
async fn advance_epochs(desk: &Desk) {
    let mut bell = desk.bell();
    loop {
        bell.mark_unchanged();
        let next = match desk.act(crate::Controller::advance_due).await {
            Some(Ok(next)) => next,
            Some(Err(refused)) => {
                tracing::error!(?refused, "epochs do not advance");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            None => return,
        };
        // The wall clock may jump, so no sleep is longer than the shortest period.
        let wait = next.map_or(LONGEST, |next| {
            let seconds = next.0.saturating_sub(clock::now().unix.0);
            Duration::from_secs(seconds).min(LONGEST)
        });
        tokio::select! {
            // At once, but not for each line of a busy log: an epoch is never shorter than a minute.
            () = tokio::time::sleep(wait) => {}
            changed = rung(&mut bell) => if !changed { return },
        }
    }
}

/// Waits for news of the log, at most one a second.
async fn rung(bell: &mut tokio::sync::watch::Receiver<()>) -> bool {
    let rung = bell.changed().await.is_ok();
    tokio::time::sleep(Duration::from_secs(1)).await;
    rung
}

/// Puts newer worlds into later invites.
async fn follow_world(handle: &Handle, state: Arc<zt_driver::StateDir>, desk: &Desk) {
    let mut events = handle.events();
    loop {
        match events.recv().await {
            Ok(Event::WorldAdopted(serial)) => match state.read(zt_driver::world::STORED) {
                Ok(Some(world)) => {
                    tracing::info!(serial, "invites carry the new world");
                    desk.read(move |controller| controller.set_world(world))
                        .await;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the new world cannot be read"),
            },
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Stores now and then when members were heard.
async fn flush(desk: &Desk) {
    loop {
        tokio::time::sleep(limits::SEEN_AGE).await;
        match desk.read(crate::Controller::flush_heard).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::warn!(%error, "when members were heard is not stored"),
            None => return,
        }
    }
}

/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(5);
/// The shortest epoch.
const LONGEST: Duration = Duration::from_mins(1);
