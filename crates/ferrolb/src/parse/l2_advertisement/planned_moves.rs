//! What makes an address leave a node that could still serve it.

use planner::facts::lan::{Departure, Settings};

use crate::api::{PlannedMove, PlannedMoves};

pub(super) fn read(spec: &PlannedMoves) -> Settings {
    let mut moves_away = Settings::default().moves_away;
    for departure in Departure::ALL {
        let wanted = match departure {
            Departure::Cordoned => spec.cordon,
            Departure::Draining => spec.drain,
            Departure::NotReady => spec.not_ready,
            Departure::OutOfService => spec.out_of_service,
            Departure::ShuttingDown => spec.shutdown,
        };
        match wanted {
            Some(PlannedMove::Move) => _ = moves_away.insert(departure),
            Some(PlannedMove::Stay) => _ = moves_away.remove(&departure),
            None => (),
        }
    }
    let ignores_exclude_label = spec.exclude_label == Some(PlannedMove::Stay);
    Settings { moves_away, ignores_exclude_label, ..Settings::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_departure_has_a_switch_of_its_own() {
        let all = |to: Option<PlannedMove>| PlannedMoves {
            cordon: to,
            drain: to,
            not_ready: to,
            out_of_service: to,
            exclude_label: to,
            shutdown: to,
        };
        assert_eq!(read(&all(None)), Settings::default());
        let stay = read(&all(Some(PlannedMove::Stay)));
        assert!(stay.moves_away.is_empty() && stay.ignores_exclude_label);
        let move_ = read(&all(Some(PlannedMove::Move)));
        assert!(move_.moves_away.iter().eq(&Departure::ALL) && !move_.ignores_exclude_label);
        let cordon = PlannedMoves { cordon: Some(PlannedMove::Move), ..PlannedMoves::default() };
        assert_eq!(read(&cordon).moves_away.len(), Settings::default().moves_away.len() + 1);
    }
}
