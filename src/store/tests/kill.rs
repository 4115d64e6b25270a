use std::io::{BufRead as _, BufReader};

use messages::batch::{Seq, Stream};

use super::{Dice, all, child, long, number_in};
use crate::store::{CollectReader, CollectStore};

#[test]
fn what_was_committed_survives_a_kill_and_a_reader_never_sees_less() {
    let directory = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let mut known = (0, 0);
    for _ in 0..12 * long() {
        let mut child = child::command(&[], "endless", directory.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + dice.below(20);
        let mut reader = None;
        for line in lines.by_ref().map(Result::unwrap).filter(|line| line.starts_with("ACK")).take(wanted) {
            let mut numbers = line.split(' ').skip(1).map(|number| number.parse::<u64>().unwrap());
            known = (numbers.next().unwrap(), numbers.next().unwrap());
            let reader = reader.get_or_insert_with(|| CollectReader::open(directory.path()).unwrap());
            reader.version().unwrap();
            assert!(reader.head(Stream::Readings).unwrap().number() >= known.0);
            let newest = reader.block(Stream::Readings, Seq::new(known.0)).unwrap().unwrap();
            assert_eq!(number_in(Stream::Readings, &newest.body.bytes), known.0);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for (stream, least) in [(Stream::Readings, known.0), (Stream::Events, known.1)] {
            let store = CollectStore::open(directory.path()).unwrap();
            assert!(store.head(stream).unwrap().number() >= least, "{stream}");
            drop(store);
            for (seq, block) in all(directory.path(), stream) {
                assert_eq!(number_in(stream, &block.body.bytes), seq);
            }
        }
    }
    assert!(known.0 > 12);
}
