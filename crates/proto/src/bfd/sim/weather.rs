//! Random faults: what must never happen, and what must happen in the end.

use super::*;

/// Faults in one run.
const FAULTS: usize = 30;

fn any_config(dice: &mut Dice) -> Config {
    let mut pick = |from: &[u32]| from[usize::try_from(dice.roll()).unwrap() % from.len()];
    let multiplier = u8::try_from(pick(&[1, 2, 3, 5, 10])).unwrap();
    let (tx, rx) = (pick(&[10, 50, 300, 1000]), pick(&[10, 50, 300, 1000]));
    let echo = [None, Some(Interval::from_millis(50))][usize::try_from(pick(&[0, 0, 1])).unwrap()];
    Config {
        desired_min_tx: Interval::from_millis(tx),
        required_min_rx: Interval::from_millis(rx),
        echo,
        ..config(300, multiplier)
    }
}

fn strike(pair: &mut Pair) {
    let index = usize::try_from(pair.dice.roll() % 2).unwrap();
    match pair.dice.roll() % 8 {
        0 => pair.restart(index),
        1 => pair.unwant(index),
        2 => pair.want(index),
        3 => {
            pair.configs[index] =
                Config { key: pair.configs[index].key.clone(), ..any_config(&mut pair.dice) }
        }
        4 => pair.link.loss = pair.dice.roll() % 101,
        5 => pair.link.spread = ms(u64::from(pair.dice.roll() % 50)),
        6 => pair.link.repeats = pair.dice.roll() % 50,
        _ => pair.link = Link::default(),
    }
}

#[test]
fn after_any_weather_the_session_comes_up_and_stays_up() {
    let methods = [None, Some(Method::KeyedMd5), Some(Method::MeticulousKeyedSha1)];
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let method = methods[usize::try_from(seed % 3).unwrap()];
        let key = method.and_then(|method| Key::new(method, 3, b"a secret").ok());
        let configs = [0, 1].map(|_| Config { key: key.clone(), ..any_config(&mut dice) });
        let mut pair = Pair::new(seed, configs);
        for _ in 0..FAULTS {
            strike(&mut pair);
            let pause = ms(u64::from(pair.dice.roll() % 800));
            pair.run_for(pause);
        }
        pair.link = Link::default();
        (0..2).for_each(|index| pair.want(index));
        // Twice the longest detection time, in which a peer that counts anew is not believed, and
        // the slow start.
        pair.run_for(ms(30_000));
        assert!(pair.is_up(), "seed {seed}: {:?}", pair.states());
        pair.changes.clear();
        pair.run_for(ms(15_000));
        assert_eq!(pair.changes, [], "seed {seed}");
    }
}

#[test]
fn fewer_losses_in_a_row_than_the_multiplier_change_nothing() {
    for seed in 0..50 {
        let mut pair = Pair::up(seed, both(&config(100, 3)));
        for _ in 0..100 {
            // Two packets of each end are sent within less than this, and at most two lost.
            pair.link.loss = 100;
            pair.run_for(ms(149));
            pair.link.loss = 0;
            pair.run_for(ms(102));
        }
        assert_eq!(pair.changes, [], "seed {seed}");
    }
}

#[test]
fn a_session_that_is_up_on_one_side_is_soon_up_or_down_on_both() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, both(&config(50, 3)));
        pair.link.loss = pair.dice.roll() % 90;
        for _ in 0..50 {
            pair.run_for(ms(200));
            let before = pair.link;
            pair.link = Link::default();
            pair.run_for(ms(400));
            let states = pair.states();
            let ups = states.iter().filter(|state| **state == Some(State::Up)).count();
            assert_ne!(ups, 1, "seed {seed}: {states:?}");
            pair.link = before;
        }
    }
}
