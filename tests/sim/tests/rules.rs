//! Flow rules from the controller to the members: what passes before and after a change.

use core::time::Duration;

use zt_sim::{Behaviour, HostId, Kind, Lan};

const SECOND: Duration = Duration::from_secs(1);

fn crosses(lan: &mut Lan, from: HostId, to: HostId, kind: Kind) -> bool {
    let bytes = lan.world.send(lan.network, from, to, kind, 100).unwrap();
    lan.world
        .run_until(SECOND, |world| world.model.has_got(to, &bytes))
        .is_some()
}

#[test]
fn a_change_of_the_rules_is_in_force_everywhere_within_two_seconds_and_so_is_its_end() {
    for seed in 0..5 {
        let mut lan = Lan::private(seed, 1);
        let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::PORT_RESTRICTED);
        for kind in [Kind::Experimental, Kind::IpxRaw] {
            assert!(crosses(&mut lan, one, two, kind), "seed {seed}: {kind:?}");
        }
        lan.rules("drop if ethertype 0x88b5;\naccept;");
        lan.world.run_for(2 * SECOND);
        for (from, to) in [(one, two), (two, one)] {
            assert!(!crosses(&mut lan, from, to, Kind::Experimental));
            assert!(!crosses(&mut lan, from, to, Kind::Tagged), "behind a tag");
            assert!(crosses(&mut lan, from, to, Kind::IpxSnap));
        }
        assert!(lan.world.counters()["drops.rule-tx"] >= 4);
        lan.rules("");
        lan.world.run_for(2 * SECOND);
        assert!(crosses(&mut lan, one, two, Kind::Experimental));
        lan.world.check();
    }
}

#[test]
fn rules_hold_after_a_restart_while_the_controller_is_away() {
    let mut lan = Lan::private(7, 1);
    let [one, two] = lan.pair_behind(Behaviour::FULL_CONE, Behaviour::FULL_CONE);
    lan.rules("accept if ipx;");
    lan.world.run_for(2 * SECOND);
    lan.world.kill(lan.controller);
    for host in [one, two] {
        lan.world.kill(host);
        lan.world.start(host);
    }
    assert!(lan.wait_up(one, 5 * SECOND).is_some() && lan.wait_up(two, 5 * SECOND).is_some());
    lan.world.run_for(3 * SECOND);
    assert!(crosses(&mut lan, one, two, Kind::IpxEthernet2));
    assert!(!crosses(&mut lan, one, two, Kind::Experimental));
    lan.world.check();
}
