use std::sync::Arc;

use bytes::Bytes;
use landfall_domain::clock::Timestamp;
use landfall_domain::registry::RecordState;
use landfall_store::CatalogueStore as _;
use landfall_store::memory::MemoryStore;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::config::ManagementLimits;

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bc22cd15d6c15b0f00a08";

#[tokio::test]
async fn every_row_is_counted_once_and_every_bad_one_is_told_with_its_line() {
    let place = Place::new().await;
    let file = format!(
        "\u{feff}{{\"registrationId\":\"a\",\"facts\":{{\"model\":\"x\",\"year\":2026,\"new\":true}}}}\r\n\
         \n\
         {{\"registrationId\":\"b\",\"certificateSha256\":\"{DIGEST}\"}}\n\
         {{\"registrationId\":\"c\",\"certificatSha256\":\"{DIGEST}\"}}\n\
         {{\"registrationId\":\"d/e\"}}\n\
         {{\"registrationId\":\"f\",\"facts\":{{\"k\":\"a\\u0007b\"}}}}\n\
         {{\"registrationId\":\"g\",\"facts\":{{\"k\":1,\"k\":2}}}}\n\
         {{\"registrationId\":\"h\",\"facts\":{{\"k\":null}}}}\n\
         {{\"registrationId\":\"i\",\"state\":\"retired\"}}\n\
         {{\"registrationId\":\"j\"\n\
         {{\"registrationId\":\"a\",\"facts\":{{\"model\":\"y\"}}}}"
    );
    let report = place.import(Format::JsonLines, file.as_bytes()).await;
    assert_eq!((report.rows, report.added, report.updated, report.refused), (10, 2, 1, 7), "{report:?}");
    let told: Vec<_> = report.errors.iter().map(|error| (error.line, error.reason.as_str())).collect();
    for (line, words) in [
        (4, "unknown member `certificatSha256`; did you mean `certificateSha256`?"),
        (5, "registrationId: \"d/e\" is not a registration id"),
        (6, "control character"),
        (7, "\"k\" is there twice"),
        (8, "must be a text, a number or a truth value"),
        (9, "landfall registry state"),
        (10, "not JSON"),
    ] {
        assert!(told.iter().any(|(at, reason)| *at == line && reason.contains(words)), "{line} {words}: {told:?}");
    }
    let record = place.record("b").await;
    assert_eq!(record.evidence.certificate_sha256.unwrap().to_string(), DIGEST);
    assert_eq!(place.record("a").await.facts["model"], "y");
}

#[tokio::test]
async fn a_device_that_stands_in_a_batch_twice_is_taken_once() {
    let place = Place::new().await;
    let file = b"registrationId,model\npump-1,x\npump-2,y\nPUMP-1,z\npump-2,y\n";
    let report = place.import(Format::Csv, file).await;
    assert_eq!((report.added, report.updated, report.refused), (2, 0, 2), "{report:?}");
    assert_eq!(report.errors[0].line, 4);
    assert_eq!(report.errors[0].reason, "PUMP-1 is named in line 2 already");
    assert_eq!(place.record("pump-1").await.facts["model"], "x");
}

#[tokio::test]
async fn numbers_and_truth_values_are_facts_as_they_are_written() {
    let place = Place::new().await;
    place.import(Format::JsonLines, br#"{"registrationId":"a","facts":{"n":1.50,"t":true}}"#).await;
    let facts = place.record("a").await.facts;
    assert_eq!((facts["n"].as_str(), facts["t"].as_str()), ("1.50", "true"));
}

#[tokio::test]
async fn importing_again_changes_nothing() {
    let place = Place::new().await;
    let file = b"registrationId,certificateSha256,model,fact.region\npump-1,,x,eu\npump-2,,\"a,\"\"b\"\"\",\n";
    let first = place.import(Format::Csv, file).await;
    assert_eq!((first.added, first.refused), (2, 0), "{first:?}");
    let before = place.record("pump-2").await;
    assert_eq!(before.facts["model"], "a,\"b\"");
    assert!(!before.facts.contains_key("region"));
    let second = place.import(Format::Csv, file).await;
    assert_eq!((second.added, second.updated, second.unchanged), (0, 0, 2));
    assert_eq!(place.record("pump-2").await, before);
}

#[tokio::test]
async fn a_csv_header_that_cannot_be_meant_stops_before_the_first_row() {
    let place = Place::new().await;
    for (header, words) in [
        ("id,model", "no column `registrationId`"),
        ("registrationId,certificate_sha256", "looks like `certificateSha256`"),
        ("registrationId,state", "landfall registry state"),
        ("registrationId,model,model", "two columns `model`"),
        ("registrationId,fact.", "is no name of a fact"),
        (
            "registrationId,model number",
            "\"model number\" is no name of a fact: 1 to 64 letters, digits or any of . _ -",
        ),
    ] {
        let report = place.import(Format::Csv, format!("{header}\na,b,c\n").as_bytes()).await;
        assert_eq!(report.rows, 0, "{header}");
        assert!(report.stopped.as_ref().is_some_and(|reason| reason.contains(words)), "{header}: {report:?}");
    }
}

#[tokio::test]
async fn a_quotation_mark_that_is_never_closed_does_not_swallow_the_file() {
    let place = Place::new().await;
    let mut file = b"registrationId,model\ngood,x\nbad,\"".to_vec();
    file.resize(4 << 20, b'a');
    let report = place.import(Format::Csv, &file).await;
    assert_eq!(report.added, 1);
    assert!(report.stopped.as_ref().is_some_and(|reason| reason.contains("line 3")), "{report:?}");
}

#[tokio::test]
async fn a_row_that_is_too_long_is_refused_and_the_next_is_read() {
    let place = Place::new().await;
    let long = "x".repeat(5000);
    let file = format!("{{\"registrationId\":\"a\",\"facts\":{{\"k\":\"{long}\"}}}}\n{{\"registrationId\":\"b\"}}\n");
    let report = place.import(Format::JsonLines, file.as_bytes()).await;
    assert_eq!((report.added, report.refused), (1, 1));
    assert!(report.errors[0].reason.contains("more than 4096 bytes"));
    let report = place.import(Format::Csv, format!("registrationId,k\na,{long}\nc,1\n").as_bytes()).await;
    assert_eq!((report.added, report.refused), (1, 1), "{report:?}");
}

#[tokio::test]
async fn all_or_nothing_writes_nothing_when_one_row_of_many_batches_is_bad() {
    let place = Place::new().await;
    let mut file: String = (0..50).map(|n| format!("{{\"registrationId\":\"d-{n}\"}}\n")).collect();
    file.push_str("{\"registrationId\":\"!\"}\n");
    let report = place.import_with(Format::JsonLines, file.as_bytes(), |import| import.all_or_nothing = true).await;
    let report = report.unwrap();
    assert!(!report.written);
    assert_eq!((report.rows, report.refused), (51, 1));
    assert_eq!((report.added, report.would_be_added), (0, 50), "nothing was added");
    assert_eq!(place.count().await, 0);

    let good = file.lines().take(50).collect::<Vec<_>>().join("\n");
    let report = place.import_with(Format::JsonLines, good.as_bytes(), |import| import.all_or_nothing = true).await;
    let report = report.unwrap();
    assert!(report.written);
    assert_eq!((report.rows, report.added, place.count().await), (50, 50, 50));
}

/// Also an import of a single batch, whether the parser or the store's transaction refuses the row.
#[tokio::test]
async fn what_is_refused_as_a_whole_says_that_nothing_was_added() {
    let place = Place::new().await;
    place.import(Format::JsonLines, b"{\"registrationId\":\"old\"}\n{\"registrationId\":\"same\"}\n").await;
    let id = "old".parse().unwrap();
    place
        .store
        .set_record_state(
            &place.wish(Format::JsonLines).scope,
            &id,
            RecordState::Retired,
            Timestamp::from_millis(2),
            landfall_store::Precondition::Any,
        )
        .await
        .unwrap()
        .unwrap();
    let rows = "{\"registrationId\":\"new\"}\n{\"registrationId\":\"same\"}\n";
    for bad in ["{\"registrationId\":\"!\"}\n", "{\"registrationId\":\"old\",\"facts\":{\"a\":\"1\"}}\n"] {
        let file = format!("{rows}{bad}");
        let report = place.import_with(Format::JsonLines, file.as_bytes(), |import| import.all_or_nothing = true).await;
        let report = report.unwrap();
        let counts = (report.rows, report.added, report.would_be_added, report.unchanged, report.refused);
        assert_eq!((report.written, counts), (false, (3, 0, 1, 1, 1)), "{report:?}");
        assert_eq!(place.count().await, 2);
    }
}

#[tokio::test]
async fn all_or_nothing_is_one_transaction_however_many_batches() {
    let place = Place::new().await;
    let file: String = (0..50).map(|n| format!("{{\"registrationId\":\"d-{n}\"}}\n")).collect();
    let before = place.store.sequence();
    let report = place.import_with(Format::JsonLines, file.as_bytes(), |import| import.all_or_nothing = true).await;
    assert_eq!(report.unwrap().added, 50);
    assert_eq!(place.store.sequence(), before + 1);
}

#[tokio::test]
async fn what_somebody_else_changed_after_the_judgement_leaves_nothing_of_all_or_nothing() {
    struct Three(fn(usize) -> &'static str);
    impl landfall_store::Batches for Three {
        fn begin(
            &self,
        ) -> Result<Box<dyn Iterator<Item = Result<landfall_store::ImportBatch, StoreError>>>, StoreError> {
            let manufacturer = self.0;
            Ok(Box::new((0..3).map(move |n| {
                let mut record = landfall_store::suite::make::record(&format!("d-{n}"), manufacturer(n), "x");
                record.evidence = Default::default();
                let batch = landfall_store::suite::make::batch(vec![record]);
                Ok(landfall_store::ImportBatch { scope: "s".parse().unwrap(), ..batch })
            })))
        }
    }
    let place = Place::new().await;
    let before = place.store.sequence();
    let other = |n| if n == 1 { "bolt" } else { "acme" };
    let outcomes = place.store.import_whole(Arc::new(Three(other))).await.unwrap();
    assert_eq!(outcomes, [[landfall_store::RowOutcome::Added], [landfall_store::RowOutcome::OtherManufacturer]]);
    assert_eq!((place.count().await, place.store.sequence()), (0, before));
    let outcomes = place.store.import_whole(Arc::new(Three(|_| "acme"))).await.unwrap();
    assert_eq!((outcomes.len(), place.count().await, place.store.sequence()), (3, 3, before + 1));
}

#[tokio::test]
async fn a_file_with_more_rows_than_one_transaction_takes_is_told_so_and_nothing_is_written() {
    let mut place = Place::new().await;
    place.limits.import_whole_rows = 20;
    let file: String = (0..30).map(|n| format!("{{\"registrationId\":\"d-{n}\"}}\n")).collect();
    let report = place.import_with(Format::JsonLines, file.as_bytes(), |import| import.all_or_nothing = true).await;
    let report = report.unwrap();
    assert!(!report.written && report.stopped.is_some_and(|why| why.contains("20 rows")));
    assert_eq!(place.count().await, 0);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let place = Place::new().await;
    let file = b"{\"registrationId\":\"a\"}\n{\"registrationId\":\"b\"}\n";
    let report = place.import_with(Format::JsonLines, file, |import| import.dry_run = true).await.unwrap();
    assert!(!report.written);
    assert_eq!((report.added, report.would_be_added, place.count().await), (0, 2, 0));
}

#[tokio::test]
async fn a_quota_holds_over_all_batches_of_all_imports() {
    let place = Place::new().await;
    let file: String = (0..30).map(|n| format!("{{\"registrationId\":\"d-{n}\"}}\n")).collect();
    for all_or_nothing in [true, false] {
        let report = place.import_with(Format::JsonLines, file.as_bytes(), |import| {
            import.quota = Some(25);
            import.all_or_nothing = all_or_nothing;
        });
        let report = report.await.unwrap();
        let counted = if all_or_nothing { (0, 25) } else { (25, 0) };
        assert_eq!((report.added, report.would_be_added), counted, "{report:?}");
        assert_eq!((report.refused, report.written), (5, !all_or_nothing), "{report:?}");
    }
    assert_eq!(place.count().await, 25);
}

#[tokio::test]
async fn a_file_that_is_too_large_to_be_kept_is_told_so() {
    let place = Place::new().await;
    let file = vec![b'\n'; 2 << 20];
    let result = place.import_with(Format::JsonLines, &file, |import| import.all_or_nothing = true).await;
    assert!(matches!(result, Err(ImportError::TooLarge { max_bytes: 1_048_576 })), "{result:?}");
}

#[tokio::test]
async fn a_file_that_breaks_off_keeps_what_came_and_says_so() {
    let place = Place::new().await;
    let (sender, pieces) = mpsc::channel(4);
    sender.send(Ok(Bytes::from_static(b"{\"registrationId\":\"a\"}\n{\"regis"))).await.unwrap();
    sender.send(Err("the connection broke".to_owned())).await.unwrap();
    drop(sender);
    let report = import(&place.store, &place.limits, place.wish(Format::JsonLines), pieces).await.unwrap();
    assert_eq!((report.added, report.refused), (1, 0), "{report:?}");
    assert_eq!(report.stopped.as_deref(), Some("the connection broke"));
}

#[tokio::test]
async fn only_so_many_bad_rows_are_named_and_all_are_counted() {
    let place = Place::new().await;
    let file = "x\n".repeat(20);
    let report = place.import(Format::JsonLines, file.as_bytes()).await;
    assert_eq!((report.refused, report.errors.len(), report.errors_not_listed), (20, 12, 8));
    assert_eq!(report.errors.iter().map(|error| error.line).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_file_makes_the_import_panic_or_lose_count_of_a_row(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\n'), Just(b'"'), Just(b','), Just(b'{'), Just(b'}'), Just(b':'), Just(b'a')
        ], 0..400),
        csv in any::<bool>(),
        cut in 1_usize..40,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            let (format, file) = if csv {
                (Format::Csv, [b"registrationId,x\n".as_slice(), &bytes].concat())
            } else {
                (Format::JsonLines, bytes)
            };
            let (sender, pieces) = mpsc::channel(2);
            let feeding = async {
                for piece in file.chunks(cut) {
                    if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                        break;
                    }
                }
                drop(sender);
            };
            let (report, ()) = tokio::join!(import(&place.store, &place.limits, place.wish(format), pieces), feeding);
            let report = report.unwrap();
            assert_eq!(report.rows, report.added + report.updated + report.unchanged + report.refused);
            assert_eq!(place.count().await, report.added);
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn where_a_file_is_cut_on_its_way_changes_nothing(
        rows in prop::collection::vec(row_of_some_kind(), 0..24),
        (csv, mark, last_line_ends) in any::<(bool, bool, bool)>(),
        cuts in prop::collection::vec(prop_oneof![1_usize..4, 1_usize..60], 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let format = if csv { Format::Csv } else { Format::JsonLines };
            let mut file = if mark { "\u{feff}".to_owned() } else { String::new() };
            if csv {
                file.push_str("registrationId,model,certificateSha256\n");
            }
            file.extend(rows.iter().map(|(json, cells)| if csv { cells } else { json }.as_str()));
            if !last_line_ends {
                file.truncate(file.trim_end().len());
            }
            let whole = Place::new().await;
            let at_once = whole.import_cut(format, file.as_bytes(), &[usize::MAX]).await;
            let parts = Place::new().await;
            let in_parts = parts.import_cut(format, file.as_bytes(), &cuts).await;
            assert_eq!(at_once, in_parts);
            assert_eq!(whole.all().await, parts.all().await);
            assert!(at_once.stopped.is_none(), "{at_once:?}");
        });
    }
}

/// A row in both formats. Some rows are valid, some are not.
fn row_of_some_kind() -> impl Strategy<Value = (String, String)> {
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")];
    let digest = prop_oneof![Just(""), Just(DIGEST), Just("9f86")];
    ("[a-dA-D]{0,2}[.!]?[a-d0-9]?", "[a-z\u{e9}\u{4e16} ,\"\n]{0,9}", digest, end).prop_map(
        |(id, model, digest, end)| {
            let json =
                serde_json::json!({ "registrationId": id, "certificateSha256": digest, "facts": { "model": model } });
            (format!("{json}{end}"), format!("{id},\"{}\",{digest}{end}", model.replace('"', "\"\"")))
        },
    )
}

#[tokio::test]
async fn a_byte_order_mark_that_comes_in_parts_is_one() {
    for cuts in [[1], [2], [3], [4]] {
        let place = Place::new().await;
        let report = place.import_cut(Format::Csv, "\u{feff}registrationId\na\n".as_bytes(), &cuts).await;
        assert_eq!((report.added, report.stopped), (1, None), "{cuts:?}");
    }
}

#[tokio::test]
async fn a_row_without_an_end_stops_the_file_at_the_same_row_however_it_comes() {
    let max = 4 * 4096 + 64 * 1024;
    for (length, stops) in [(max, false), (max + 1, true)] {
        // The limit is for the whole row: its identifier, its quotation marks and its end are included.
        let mut file = "registrationId,model\n".to_owned();
        file.push_str(&format!("long,\"{}\"\n", "a".repeat(length - "long,\"\"\n".len())));
        file.push_str("next,x\n");
        for cuts in [&[usize::MAX][..], &[1], &[8191], &[8193, 7]] {
            let place = Place::new().await;
            let report = place.import_cut(Format::Csv, file.as_bytes(), cuts).await;
            assert_eq!(report.stopped.is_some(), stops, "{length} {cuts:?}: {report:?}");
            assert_eq!((report.added, report.refused), if stops { (0, 0) } else { (1, 1) }, "{report:?}");
        }
    }
}

/// A store in a folder of its own, with small limits.
struct Place {
    store: Arc<dyn Store>,
    limits: ManagementLimits,
}

impl Place {
    async fn new() -> Self {
        let store = MemoryStore::default();
        store.create_scope("s".parse().unwrap()).await.unwrap();
        let limits = ManagementLimits {
            import_batch_rows: 7,
            import_problems: 12,
            import_staged_bytes: 1 << 20,
            ..ManagementLimits::default()
        };
        Self { store: Arc::new(store), limits }
    }

    fn wish(&self, format: Format) -> Import {
        Import {
            scope: "s".parse().unwrap(),
            manufacturer: "acme".parse().unwrap(),
            quota: None,
            prefixes: Vec::new(),
            format,
            all_or_nothing: false,
            dry_run: false,
            drop_evidence: false,
            now: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    async fn import(&self, format: Format, file: &[u8]) -> ImportReport {
        self.import_with(format, file, |_| {}).await.unwrap()
    }

    async fn import_with(
        &self,
        format: Format,
        file: &[u8],
        change: impl FnOnce(&mut Import),
    ) -> Result<ImportReport, ImportError> {
        let mut wish = self.wish(format);
        change(&mut wish);
        let (sender, pieces) = mpsc::channel(4);
        let feeding = async {
            // Cut in the middle of rows.
            for piece in file.chunks(1000) {
                if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                    break;
                }
            }
            drop(sender);
        };
        tokio::join!(import(&self.store, &self.limits, wish, pieces), feeding).0
    }

    /// Imports a file in pieces of these lengths, which are repeated.
    async fn import_cut(&self, format: Format, mut file: &[u8], cuts: &[usize]) -> ImportReport {
        let (sender, pieces) = mpsc::channel(2);
        let feeding = async {
            for cut in cuts.iter().cycle() {
                let (piece, rest) = file.split_at(file.len().min(*cut));
                if piece.is_empty() || sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                    break;
                }
                file = rest;
            }
            drop(sender);
        };
        tokio::join!(import(&self.store, &self.limits, self.wish(format), pieces), feeding).0.unwrap()
    }

    async fn all(&self) -> Vec<landfall_domain::registry::ManufacturingRecord> {
        let page = landfall_store::Page { after: None, limit: 1000 };
        self.store.records(&"s".parse().unwrap(), page, landfall_store::RecordFilter::default()).await.unwrap().items
    }

    async fn record(&self, id: &str) -> landfall_domain::registry::ManufacturingRecord {
        let record = self.store.record(&"s".parse().unwrap(), &id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(record.state, RecordState::Active);
        record
    }

    async fn count(&self) -> u64 {
        let page = landfall_store::Page { after: None, limit: usize::MAX };
        let all = self.store.records(&"s".parse().unwrap(), page, landfall_store::RecordFilter::default()).await;
        all.unwrap().items.len() as u64
    }
}

#[tokio::test]
async fn a_row_is_named_by_the_line_that_an_editor_shows() {
    for end in ["\n", "\r\n", "\r"] {
        let lines =
            ["registrationId,site", "ok-1,Oslo", "", "bad one,\"of{}two lines\"", "ok-2,Lyon", "bad two,Lyon", ""];
        let file = lines.join(end).replace("{}", end);
        for cuts in [&[usize::MAX][..], &[1], &[7]] {
            let place = Place::new().await;
            let report = place.import_cut(Format::Csv, file.as_bytes(), cuts).await;
            let told: Vec<u64> = report.errors.iter().map(|problem| problem.line).collect();
            assert_eq!((report.added, told), (2, vec![4, 7]), "{end:?} {cuts:?}: {report:?}");
        }
    }
}

#[tokio::test]
async fn what_spreadsheets_write_is_read() {
    for file in [
        "registrationId;certificateSha256;site\r\npump-1;{};K\u{f6}ln\r\n",
        "registrationId\tcertificateSha256\tsite\r\npump-1\t{}\tK\u{f6}ln\r\n",
        "registrationId|certificateSha256|site\r\npump-1|{}|K\u{f6}ln\r\n",
        "\u{feff}sep=;\r\nregistrationId;certificateSha256;site\r\npump-1;{};K\u{f6}ln\r\n",
        "registrationId,certificateSha256,site\r\npump-1,{},K\u{f6}ln\r\n,,\r\n,,\r\n",
        "registrationId,certificateSha256,site,,\r\npump-1,{},K\u{f6}ln,,\r\n",
        "registrationId,certificateSha256,site\r\npump-1,{},K\u{f6}ln,,\r\n",
    ] {
        let place = Place::new().await;
        let report = place.import(Format::Csv, file.replace("{}", DIGEST).as_bytes()).await;
        assert_eq!((report.rows, report.added, &report.stopped), (1, 1, &None), "{file:?}: {report:?}");
        let record = place.record("pump-1").await;
        assert_eq!(record.facts.into_iter().collect::<Vec<_>>(), [("site".to_owned(), "K\u{f6}ln".to_owned())]);
        assert!(record.evidence.certificate_sha256.is_some(), "{file:?}");
    }
}

#[tokio::test]
async fn a_quotation_mark_that_is_not_closed_is_told_with_its_line() {
    for (rows, line, added) in [
        // The open quotation mark lasts to the end of the file, and is in its first line.
        ("a,Oslo,\nb,\"Bergen,\nc,Lom,\n", 3, 1),
        ("a,Oslo,\n\nb,x,\"y\r\nc,\"\"Lom,\n", 4, 1),
        ("\"a,Oslo,\nb,Bergen,\n", 2, 0),
    ] {
        for cuts in [&[usize::MAX][..], &[1], &[7]] {
            let place = Place::new().await;
            let file = format!("registrationId,site,note\n{rows}");
            let report = place.import_cut(Format::Csv, file.as_bytes(), cuts).await;
            let why = report.stopped.clone().unwrap_or_default();
            assert!(why.starts_with(&format!("line {line}: the quotation mark")), "{rows:?}: {report:?}");
            assert_eq!((report.added, report.refused), (added, 0), "{report:?}");
        }
    }
    let place = Place::new().await;
    let report = place.import(Format::Csv, b"\"registrationId,site\na,Oslo\n").await;
    assert!(report.stopped.is_some_and(|why| why.starts_with("line 1: the quotation mark")));
    // A quotation mark that the next row's quotation mark closes.
    let report = place.import(Format::Csv, b"registrationId,site\na,\"Oslo\nb,\"Lom\"\nc,Bergen\n").await;
    assert_eq!((report.added, report.errors[0].line), (1, 2), "{report:?}");
    assert!(report.errors[0].reason.contains("over the end of a line"), "{report:?}");
}

#[tokio::test]
async fn a_file_that_is_no_utf8_text_is_told_with_how_to_save_it() {
    let utf16 =
        |text: &str, mark: &[u8]| [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    for (file, says) in [
        (utf16("registrationId\na\n", &[0xff, 0xfe]), "UTF-16"),
        (utf16("registrationId\na\n", &[]), "UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0".to_vec(), "spreadsheet"),
        (vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1], "spreadsheet"),
        (vec![0x1f, 0x8b, 8, 0, 0], "gunzip"),
    ] {
        for format in [Format::Csv, Format::JsonLines] {
            for cuts in [&[usize::MAX][..], &[1]] {
                let place = Place::new().await;
                let report = place.import_cut(format, &file, cuts).await;
                assert!(report.stopped.as_ref().is_some_and(|why| why.contains(says)), "{says}: {report:?}");
                assert_eq!(report.rows, 0, "{report:?}");
            }
        }
    }
    // The encoding that Windows used before UTF-8.
    let place = Place::new().await;
    let report = place.import(Format::Csv, b"registrationId,site\na,K\xf6ln\nb,Lom\n").await;
    assert_eq!((report.added, report.errors[0].line), (1, 2), "{report:?}");
    assert!(report.errors[0].reason.contains("save the file with the character set UTF-8"), "{report:?}");
}

#[tokio::test]
async fn a_heading_for_people_is_told_with_the_name_that_is_meant() {
    for (heading, meant) in [("Registration ID", "registrationId"), ("certificate_SHA-256", "certificateSha256")] {
        let place = Place::new().await;
        let report = place.import(Format::Csv, format!("{heading};model\na;x\n").as_bytes()).await;
        let why = report.stopped.unwrap_or_default();
        assert!(why.contains(&format!("the column `{heading}` looks like `{meant}`")), "{why}");
    }
}

#[tokio::test]
async fn a_value_in_a_column_without_a_name_is_refused_with_its_line() {
    let place = Place::new().await;
    let report = place.import(Format::Csv, b"sep=,\nregistrationId,site,\na,Oslo,\nb,Oslo,x\nc,Oslo,,x\n").await;
    let told: Vec<(u64, &str)> = report.errors.iter().map(|problem| (problem.line, problem.reason.as_str())).collect();
    assert_eq!(report.added, 1, "{report:?}");
    assert!(
        matches!(told[..], [(4, unnamed), (5, more)]
        if unnamed.contains("a column without a name") && more.contains("4 fields")),
        "{told:?}"
    );
}
