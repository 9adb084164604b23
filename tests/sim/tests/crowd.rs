//! A thousand nodes, and scenarios drawn by lot.

use core::time::Duration;

use zt_sim::crowd::crowd;
use zt_sim::fuzz::fuzz;

#[test]
fn a_thousand_nodes_join_one_network_and_reach_each_other() {
    let (_, figures) = crowd(1, 1000, 2);
    assert_eq!(figures.arrived, figures.frames, "{figures:?}");
    assert!(figures.joined < Duration::from_secs(30), "{figures:?}");
}

#[test]
fn scenarios_drawn_by_lot_end_well() {
    for seed in 1..=12 {
        let story = fuzz(seed, 40);
        assert!(
            story.failures.is_empty(),
            "seed {seed} steps 40: {:#?} {:#?}",
            story.steps,
            story.failures
        );
    }
}

#[test]
fn a_scenario_drawn_by_lot_is_the_same_each_time() {
    let (one, again) = (fuzz(3, 30), fuzz(3, 30));
    assert_eq!(one.trace, again.trace);
    assert_eq!(one.steps, again.steps);
    assert_ne!(one.trace, fuzz(4, 30).trace);
}
