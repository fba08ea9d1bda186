//! Which of the runs that wait are begun: a fair choice, the same for every store.
//!
//! Runs wait in lanes, one for each organisation and connector. A place that is free goes to the organisation that has
//! the fewest runs under way, so one with 10,000 runs that wait and one with a single run come next in turn; within
//! an organisation its connectors take turns. What is over a limit is passed over and keeps its place.

use std::collections::{BTreeMap, HashMap};

/// How many runs may be under way at once, over all replicas. `None`: as many as there are places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// In all.
    pub total: Option<usize>,
    /// Of one organisation.
    pub per_organization: Option<usize>,
    /// Of one connector.
    pub per_connector: Option<usize>,
    /// Of these connectors, by id, instead of `per_connector`.
    pub connectors: BTreeMap<String, usize>,
}

/// What names a lane: organisation and connector.
pub type LaneKey = (String, String);

/// How many runs are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    total: usize,
    organizations: HashMap<String, usize>,
    connectors: HashMap<String, usize>,
}

/// The runs of one organisation and connector that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane<T> {
    /// Whose.
    pub organization: String,
    /// Of which connector.
    pub connector: String,
    /// In the order in which they are begun. As many as there are free places are enough.
    pub waiting: Vec<T>,
}

/// What is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<T> {
    /// In the order in which they were chosen.
    pub runs: Vec<T>,
    /// Behind which lane the next choice begins: the last that was served or, where none could be, the last there was.
    pub after: Option<LaneKey>,
}

impl Load {
    /// Adds runs that are under way.
    pub fn add(&mut self, organization: &str, connector: &str, runs: usize) {
        self.total += runs;
        *self.organizations.entry(organization.to_owned()).or_default() += runs;
        *self.connectors.entry(connector.to_owned()).or_default() += runs;
    }

    fn organization(&self, organization: &str) -> usize {
        self.organizations.get(organization).copied().unwrap_or(0)
    }

    fn connector(&self, connector: &str) -> usize {
        self.connectors.get(connector).copied().unwrap_or(0)
    }
}

impl ClaimLimits {
    fn admits(&self, load: &Load, organization: &str, connector: &str) -> bool {
        let below = |limit: Option<usize>, runs: usize| limit.is_none_or(|limit| runs < limit);
        let of_connector = self.connectors.get(connector).copied().or(self.per_connector);
        below(self.total, load.total)
            && below(self.per_organization, load.organization(organization))
            && below(of_connector, load.connector(connector))
    }
}

/// Chooses up to `places` runs. Lanes that come first are served first where nothing else decides.
pub fn choose<T>(lanes: Vec<Lane<T>>, mut load: Load, limits: &ClaimLimits, places: usize) -> Chosen<T> {
    let mut last = lanes.len().checked_sub(1);
    let mut lanes: Vec<_> =
        lanes.into_iter().map(|lane| (lane.organization, lane.connector, lane.waiting.into_iter())).collect();
    let mut runs = Vec::new();
    // How often each lane was served: its turn within its organisation.
    let mut served = vec![0_usize; lanes.len()];
    while runs.len() < places {
        let next = lanes
            .iter()
            .enumerate()
            .filter(|(_, (organization, connector, waiting))| {
                waiting.len() > 0 && limits.admits(&load, organization, connector)
            })
            .min_by_key(|(place, (organization, ..))| {
                (load.organization(organization), served[*place], *place)
            })
            .map(|(place, _)| place);
        let Some(place) = next else { break };
        let (organization, connector, waiting) = &mut lanes[place];
        runs.extend(waiting.next());
        load.add(organization, connector, 1);
        served[place] += 1;
        last = Some(place);
    }
    let after = last
        .map(|place| lanes.swap_remove(place))
        .map(|(organization, connector, _)| (organization, connector));
    Chosen { runs, after }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(organization: &str, connector: &str, waiting: usize) -> Lane<String> {
        Lane {
            organization: organization.to_owned(),
            connector: connector.to_owned(),
            waiting: (0..waiting).map(|number| format!("{organization}/{connector}/{number}")).collect(),
        }
    }

    fn of<'a>(chosen: &'a [String], prefix: &'a str) -> usize {
        chosen.iter().filter(|run| run.starts_with(prefix)).count()
    }

    #[test]
    fn one_organisation_with_ten_thousand_does_not_starve_one_with_one() {
        let lanes = vec![lane("large", "drive", 10_000), lane("small", "drive", 1)];
        let chosen = choose(lanes, Load::default(), &ClaimLimits::default(), 2).runs;
        assert_eq!((of(&chosen, "large"), of(&chosen, "small")), (1, 1));
    }

    #[test]
    fn who_has_fewer_under_way_comes_first() {
        let mut load = Load::default();
        load.add("busy", "drive", 3);
        let lanes = vec![lane("busy", "drive", 9), lane("idle", "drive", 9)];
        let chosen = choose(lanes, load, &ClaimLimits::default(), 5).runs;
        assert_eq!((of(&chosen, "busy"), of(&chosen, "idle")), (1, 4));
    }

    #[test]
    fn connectors_of_an_organisation_take_turns_and_a_full_one_holds_up_no_other() {
        let lanes = vec![lane("a", "drive", 9), lane("a", "slack", 9)];
        let chosen = choose(lanes.clone(), Load::default(), &ClaimLimits::default(), 4).runs;
        assert_eq!((of(&chosen, "a/drive"), of(&chosen, "a/slack")), (2, 2));
        let limits = ClaimLimits { connectors: [("drive".to_owned(), 1)].into(), ..ClaimLimits::default() };
        let chosen = choose(lanes, Load::default(), &limits, 4).runs;
        assert_eq!((of(&chosen, "a/drive"), of(&chosen, "a/slack")), (1, 3));
    }

    #[test]
    fn the_next_choice_begins_behind_the_lane_that_was_served_last() {
        let lanes = || vec![lane("a", "x", 5), lane("b", "x", 5), lane("c", "x", 5)];
        let after = |places, limits: &ClaimLimits| choose(lanes(), Load::default(), limits, places).after;
        let key = |organization: &str| Some((organization.to_owned(), "x".to_owned()));
        assert_eq!(after(1, &ClaimLimits::default()), key("a"));
        assert_eq!(after(2, &ClaimLimits::default()), key("b"));
        let none = ClaimLimits { total: Some(0), ..ClaimLimits::default() };
        assert_eq!(after(2, &none), key("c"), "there may be others behind");
    }

    proptest! {
        #[test]
        fn a_choice_keeps_every_limit_and_leaves_no_place_free_that_could_be_filled(
            waiting in prop::collection::vec((0..4_u8, 0..3_u8, 0..6_usize), 0..10),
            running in prop::collection::vec((0..4_u8, 0..3_u8, 0..4_usize), 0..6),
            total in prop::option::of(0..12_usize),
            organization in prop::option::of(0..5_usize),
            connector in prop::option::of(0..5_usize),
            places in 0..12_usize,
        ) {
            let mut load = Load::default();
            for (organization, connector, runs) in running {
                load.add(&format!("o{organization}"), &format!("c{connector}"), runs);
            }
            let mut lanes: BTreeMap<(String, String), usize> = BTreeMap::new();
            for (organization, connector, runs) in waiting {
                *lanes.entry((format!("o{organization}"), format!("c{connector}"))).or_default() += runs;
            }
            let limits = ClaimLimits {
                total, per_organization: organization, per_connector: connector, connectors: BTreeMap::new(),
            };
            let made = lanes.iter().map(|((organization, connector), runs)| lane(organization, connector, *runs));
            let chosen = choose(made.collect(), load.clone(), &limits, places).runs;
            prop_assert!(chosen.len() <= places);
            let mut after = load.clone();
            let mut left = lanes.clone();
            for run in &chosen {
                let mut parts = run.split('/');
                let key = (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned());
                prop_assert!(limits.admits(&after, &key.0, &key.1), "{run} is over a limit");
                after.add(&key.0, &key.1, 1);
                *left.get_mut(&key).unwrap() -= 1;
            }
            if chosen.len() < places {
                for ((organization, connector), runs) in left {
                    prop_assert!(runs == 0 || !limits.admits(&after, &organization, &connector));
                }
            }
        }
    }
}
