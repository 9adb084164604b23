//! The route of a selftest with a member.
//!
//! In: a network, a member, a limit. Out: what became of each kind of frame. Never: a wait beyond the limit.

use core::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use zt_api as api;
use zt_engine::interface::{Command, Reply, SelftestReport, SelftestWay, Verdict};
use zt_wire::NetworkId;

use super::Node;
use super::routes::{LONGEST_WAIT_MS, Refusal, body_of, parsed};

/// Runs it.
pub async fn selftest(
    State(node): State<Node>,
    Path(id): Path<String>,
    body: Result<Json<api::SelftestRequest>, JsonRejection>,
) -> Result<Json<api::Selftest>, Refusal> {
    let network: NetworkId = parsed("network", &id)?;
    let request = body_of(body)?;
    let command = Command::Selftest {
        network,
        with: request.member,
        both: request.both,
        limit: Duration::from_millis(request.limit_ms.min(LONGEST_WAIT_MS)),
    };
    match node.handle.command(command).await {
        Reply::Selftest(report) => Ok(Json(told(*report))),
        other => Err(Refusal::odd(&other)),
    }
}

fn told(report: SelftestReport) -> api::Selftest {
    api::Selftest {
        network: report.network,
        member: report.member,
        whole: report.whole,
        ways: report.ways.into_iter().map(way).collect(),
    }
}

fn way(way: SelftestWay) -> api::SelftestWay {
    let count = |wanted| {
        let those = way.frames.iter().filter(|frame| frame.verdict == wanted);
        those.count()
    };
    let (crossed, stopped) = (count(Verdict::Crossed), count(Verdict::Stopped));
    api::SelftestWay {
        from: way.from,
        to: way.to,
        crossed,
        due: way.frames.len() - stopped,
        stopped,
        path_changed: way.moved,
        kinds: way
            .frames
            .into_iter()
            .map(|frame| api::SelftestKind {
                kind: frame.kind,
                bytes: frame.length,
                verdict: verdict(frame.verdict),
                why: Some(frame.why).filter(|why| !why.is_empty()),
            })
            .collect(),
    }
}

const fn verdict(verdict: Verdict) -> api::SelftestVerdict {
    match verdict {
        Verdict::Crossed => api::SelftestVerdict::Crossed,
        Verdict::Stopped => api::SelftestVerdict::Stopped,
        Verdict::Lost => api::SelftestVerdict::Lost,
        Verdict::Changed => api::SelftestVerdict::Changed,
        Verdict::Repeated => api::SelftestVerdict::Repeated,
        Verdict::Reordered => api::SelftestVerdict::Reordered,
    }
}
