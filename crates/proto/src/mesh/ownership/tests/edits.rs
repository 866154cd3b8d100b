//! Candidacies that change one by one.

use super::*;

proptest! {
    #[test]
    fn edits_of_candidacies_say_the_same_as_all_of_them(
        sets in prop::collection::vec(
            prop::collection::btree_map(
                0..4_u8,
                (any::<bool>(), prop::sample::select(vec!["a", "b a", "a b", ""])),
                0..4,
            ),
            1..12,
        ),
    ) {
        let (mut whole, mut by_edits) = (Bench::new(), Bench::new());
        let mut before = BTreeMap::new();
        for (index, set) in sets.into_iter().enumerate() {
            let fact = |(last, (is_fit, order)): (u8, (bool, &str))| {
                (IpAddr::from([192, 0, 2, last]), Candidacy { is_fit, ..candidacy(order) })
            };
            let now: BTreeMap<_, _> = set.into_iter().map(fact).collect();
            let gone = before.keys().map(|at| (*at, None));
            let edits = gone.chain(now.iter().map(|(at, one)| (*at, Some(one.clone())))).collect();
            for bench in [&mut whole, &mut by_edits] {
                bench.now = bench.now + ms(200);
            }
            let all = Input::Candidacies(now.clone());
            whole.handle(all.clone());
            by_edits.handle(if index == 0 { all } else { Input::CandidacyEdits(edits) });
            prop_assert_eq!(whole.a.answering(), by_edits.a.answering());
            prop_assert_eq!(whole.a.snapshot(), by_edits.a.snapshot());
            before = now;
        }
    }
}
