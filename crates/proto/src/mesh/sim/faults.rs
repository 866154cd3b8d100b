//! What happens to the wires.

use super::{Cluster, Input, lan};

impl Cluster {
    /// Cuts the mesh in both directions between every node of `some` and every other one.
    pub(super) fn part_mesh(&mut self, some: &[usize]) {
        self.mark();
        for a in 0..self.size() {
            for b in 0..self.size() {
                if some.contains(&a) != some.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    /// Cuts mesh and LAN there.
    pub(super) fn part(&mut self, some: &[usize]) {
        self.part_mesh(some);
        self.lan.part(some);
    }

    /// Cuts mesh and LAN in one direction.
    pub(super) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.mark();
        self.cut.insert((from, to));
        self.lan.cut.insert((from, to));
    }

    /// Loses datagrams of the mesh.
    pub(super) fn lose(&mut self, percent: u64) {
        self.mark();
        self.loss_percent = percent;
    }

    /// Loses datagrams and frames.
    pub(super) fn lose_everywhere(&mut self, percent: u64) {
        self.lose(percent);
        self.lan.loss_percent = percent;
    }

    pub(super) fn set_hearing(&mut self, index: usize, can_hear: bool) {
        self.mark();
        self.nodes[index].can_hear = can_hear;
    }

    pub(super) fn set_speaking(&mut self, index: usize, can_speak: bool) {
        self.mark();
        self.nodes[index].can_speak = can_speak;
    }

    /// The interface of a node loses its carrier.
    pub(super) fn unplug(&mut self, index: usize) {
        self.set_hearing(index, false);
        self.set_speaking(index, false);
        self.nodes[index].is_unplugged = true;
        self.step(index, Input::Own(Vec::new()));
    }

    pub(super) fn plug(&mut self, index: usize) {
        self.set_hearing(index, true);
        self.set_speaking(index, true);
        self.nodes[index].is_unplugged = false;
        self.step(index, Input::Own(vec![lan::link(index)]));
    }

    /// Mends all wires.
    pub(super) fn heal(&mut self) {
        self.mark();
        for index in
            (0..self.size()).filter(|index| self.nodes[*index].is_unplugged).collect::<Vec<_>>()
        {
            self.plug(index);
        }
        self.cut.clear();
        self.loss_percent = 0;
        self.lan.heal();
        for node in &mut self.nodes {
            (node.can_hear, node.can_speak) = (true, true);
        }
    }

    /// Whether all that is up hears all that is up.
    pub(super) fn is_whole(&self) -> bool {
        self.cut.is_empty()
            && self.loss_percent == 0
            && self.lan.is_whole()
            && self.nodes.iter().all(|node| node.can_hear && node.can_speak)
    }

    /// Ends all periods of measurement, before the weather changes.
    fn mark(&mut self) {
        let is_whole = self.is_whole();
        for tally in self.tallies.values_mut() {
            tally.mark(self.now, is_whole);
        }
    }
}
