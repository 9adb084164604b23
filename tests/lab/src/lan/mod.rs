//! `cargo lab lan`: programs that people use on a LAN, from Debian, find each other across the overlay.
//!
//! In: which rows. Out: one table row for each, with what was found or the programs' last words.
//! Never: a row that needs another one; a network outside the lab; a program that is told where the other is.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::Path, sync::Mutex, thread, time::Instant,
};

use serde::Serialize;

use self::{
    acts::{ACTS, Act, LANES},
    ground::{Ground, Place},
    stage::Stage,
};
use crate::{Failed, Internet, Keep, Lab, packages, progress::Progress, zt::Kit};

mod acts;
mod dos;
mod frames;
mod games;
mod ground;
mod guards;
mod services;
mod stage;

/// What the programs found.
#[derive(Debug, Serialize)]
pub struct Lan {
    /// Whether all of them found what they looked for.
    pub ok: bool,
    /// Seconds from the first host to the last row.
    pub took_s: f64,
    /// One for each pair of programs and place.
    pub rows: Vec<Row>,
    /// One line per host that was kept.
    #[serde(skip)]
    pub how_to_enter: Vec<String>,
}

/// One pair of programs at one place.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name, for `--only`.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// Where the two programs are.
    pub place: &'static str,
    /// The Debian packages of the programs, and their versions.
    pub programs: BTreeMap<String, String>,
    /// Seconds.
    pub took_s: f64,
    /// What was found; or why not, and the programs' last words.
    pub found: String,
    /// Whether it was found.
    pub ok: bool,
}

/// Plays the rows whose name or place contains one of `only`; all when that is empty.
///
/// # Errors
/// When no row has such a name, a package cannot be had, or the overlay does not come up.
pub fn run(only: &[String], kit: &Kit, keep: Keep, progress: &Progress) -> Result<Lan, Failed> {
    let chosen = chosen(only)?;
    let mut names: Vec<&str> = chosen
        .iter()
        .flat_map(|(act, _)| act.packages)
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    let versions = packages::ensure_packages(&names, progress)?;
    let started = Instant::now();
    let internet = Internet::new(Lab::new(keep)?)?;
    let ground = Ground::new(&internet, kit, progress)
        .map_err(|failed| Failed::new(format!("{failed}\n{}", internet.lab().last_words())))?;
    let dir = internet.lab().dir().join("rows");
    fs::create_dir(&dir)?;
    let rows = play(&chosen, &ground, &dir, &versions, progress);
    Ok(Lan {
        ok: rows.iter().all(|row| row.ok),
        took_s: started.elapsed().as_secs_f64(),
        rows,
        how_to_enter: match keep {
            Keep::Nothing => Vec::new(),
            Keep::Hosts => ground.how_to_enter(),
        },
    })
}

type Chosen = (&'static Act, Place);

fn chosen(only: &[String]) -> Result<Vec<Chosen>, Failed> {
    let all = ACTS
        .iter()
        .flat_map(|act| act.places.iter().map(move |place| (act, *place)));
    let chosen: Vec<Chosen> = all
        .filter(|(act, place)| {
            let wanted = |name: &String| act.name == *name || place.name().contains(name.as_str());
            only.is_empty() || only.iter().any(wanted)
        })
        .collect();
    let strange = only.iter().find(|name| {
        ACTS.iter().all(|act| {
            act.name != name.as_str()
                && act
                    .places
                    .iter()
                    .all(|place| !place.name().contains(name.as_str()))
        })
    });
    match strange {
        None => Ok(chosen),
        Some(name) => {
            let names: Vec<&str> = ACTS.iter().map(|act| act.name).collect();
            Err(Failed::new(format!(
                "no row is named {name:?}; there are {}, and all of \"members\" or of \"bridges\"",
                names.join(", ")
            )))
        }
    }
}

/// Plays the lanes at the same time and each lane's rows in turn; gives the rows in the table's order.
fn play(
    chosen: &[Chosen],
    ground: &Ground,
    dir: &Path,
    versions: &BTreeMap<String, String>,
    progress: &Progress,
) -> Vec<Row> {
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in LANES {
            let done = &done;
            scope.spawn(move || {
                let turns = chosen.iter().enumerate();
                for (at, (act, place)) in turns.filter(|(_, (act, _))| act.lane == lane) {
                    let row = perform(act, *place, ground, dir);
                    let row = with_versions(row, act, versions);
                    let mut done = done
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((at, row));
                    progress.step(&format!("{} of {} rows", done.len(), chosen.len()));
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, row)| row).collect()
}

fn perform(act: &'static Act, place: Place, ground: &Ground, dir: &Path) -> Row {
    let started = Instant::now();
    let home = dir.join(format!("{}-{}", act.name, place.name().replace(' ', "-")));
    let found = Stage::new(ground, ground.pair(place), home).and_then(|mut stage| {
        let played = (act.play)(&mut stage);
        played.map_err(|failed| Failed::new(format!("{failed}{}", stage.last_words())))
    });
    let ok = found.is_ok();
    Row {
        name: act.name,
        what: act.what,
        place: place.name(),
        programs: BTreeMap::new(),
        took_s: started.elapsed().as_secs_f64(),
        found: found.unwrap_or_else(|failed| failed.to_string()),
        ok,
    }
}

fn with_versions(mut row: Row, act: &Act, versions: &BTreeMap<String, String>) -> Row {
    let of = |package: &&str| Some(((*package).to_owned(), versions.get(*package)?.clone()));
    row.programs = act.packages.iter().filter_map(of).collect();
    row
}

impl Lan {
    /// The table for people.
    pub fn table(&self) -> String {
        let width = |of: fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let what = width(|row| row.what.chars().count());
        let place = width(|row| row.place.len());
        let mut text = String::new();
        for row in &self.rows {
            let mark = if row.ok { "ok  " } else { "FAIL" };
            let mut lines = row.found.lines();
            let first = lines.next().unwrap_or("");
            let _infallible = writeln!(
                text,
                "  {mark}  {:what$}  {:place$} {:6.1} s  {first}",
                row.what, row.place, row.took_s
            );
            for line in lines {
                let _infallible = writeln!(text, "            {line}");
            }
        }
        let good = self.rows.iter().filter(|row| row.ok).count();
        let _infallible = writeln!(
            text,
            "{good} of {} found what they looked for, in {:.0} s",
            self.rows.len(),
            self.took_s
        );
        let mut programs = BTreeMap::new();
        for row in &self.rows {
            programs.extend(row.programs.iter());
        }
        let named: Vec<String> = programs
            .into_iter()
            .map(|(package, version)| format!("{package} {version}"))
            .collect();
        let _infallible = writeln!(text, "programs of Debian: {}", named.join(", "));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_nobody_knows_is_an_error_that_names_those_there_are() {
        let failed = chosen(&["dom".to_owned()]).unwrap_err().to_string();
        assert!(
            failed.contains("\"dom\"") && failed.contains("openttd"),
            "{failed}"
        );
    }

    #[test]
    fn a_place_chooses_all_rows_there() {
        let rows = chosen(&["bridges".to_owned()]).unwrap();
        assert!(rows.len() > 3);
        assert!(rows.iter().all(|(_, place)| *place == Place::Bridges));
    }

    #[test]
    fn every_row_is_in_a_lane_and_named_once_per_place() {
        let rows = chosen(&[]).unwrap();
        assert!(rows.iter().all(|(act, _)| LANES.contains(&act.lane)));
        let mut names: Vec<_> = rows
            .iter()
            .map(|(act, place)| (act.name, place.name()))
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn one_row_that_finds_nothing_is_marked_with_its_last_words() {
        let row = Row {
            name: "doom",
            what: "a game",
            place: "members",
            programs: BTreeMap::new(),
            took_s: 1.0,
            found: "nothing\nclient: gave up".to_owned(),
            ok: false,
        };
        let lan = Lan {
            ok: false,
            took_s: 1.0,
            rows: vec![row],
            how_to_enter: Vec::new(),
        };
        let table = lan.table();
        assert!(table.contains("FAIL  a game"), "{table}");
        assert!(table.contains("client: gave up"), "{table}");
        assert!(table.contains("0 of 1"), "{table}");
    }
}
