//! Doing nothing costs nothing, and doing the same for long never stops.

use core::time::Duration;

use zt_sim::{Behaviour, HostId, Kind, Lan};

const SECOND: Duration = Duration::from_secs(1);

fn sent(lan: &Lan, host: HostId) -> u64 {
    lan.world.host(host).sent()
}

#[test]
fn an_idle_node_with_one_direct_peer_sends_less_than_a_packet_in_ten_seconds() {
    let mut lan = Lan::private(1, 1);
    let [one, two] = lan.pair_behind(Behaviour::PORT_RESTRICTED, Behaviour::PORT_RESTRICTED);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    lan.world.run_for(Duration::from_mins(1));
    for minutes in [5, 3] {
        let before = (sent(&lan, one), sent(&lan, two));
        lan.world.run_for(Duration::from_mins(minutes));
        for (host, before) in [(one, before.0), (two, before.1)] {
            let packets = sent(&lan, host) - before;
            assert!(
                packets < minutes * 6,
                "{packets} packets in {minutes} minutes"
            );
        }
        assert!(lan.is_direct(one, two), "and it stays direct");
    }
    lan.world.check();
}

#[test]
fn many_rekeyings_under_traffic_lose_no_frame() {
    let mut lan = Lan::private(2, 1);
    let [one, two] = lan.pair_behind(Behaviour::PRESERVING, Behaviour::FULL_CONE);
    assert!(lan.wait_direct(one, two, 5 * SECOND).is_some());
    let mut frames = Vec::new();
    for _ in 0..6000 {
        for (from, to) in [(one, two), (two, one)] {
            frames.push((
                to,
                lan.world
                    .send(lan.network, from, to, Kind::Experimental, 60)
                    .unwrap(),
            ));
        }
        lan.world.run_for(Duration::from_millis(250));
    }
    lan.world.run_for(SECOND);
    assert_eq!(lan.missing(&frames), 0, "of {} in 25 minutes", frames.len());
    assert!(lan.world.counters()["handshakes.rekeys"] >= 10);
    lan.world.check();
}
