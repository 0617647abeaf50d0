//! Exported `CloudTrail` files: who used streams, read offline.
//!
//! `CloudTrail` delivers gzipped JSON with a list `Records` ([log file examples][files]). A query or
//! an export may also have one record a line, and `aws cloudtrail lookup-events` prints a list
//! `Events` with each record as a text. Files are read record by record, so that memory does not
//! grow with them.
//!
//! [files]: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::access::{Use, used_by};
use crate::cli::input::reason;
use crate::cli::progress::{Murmur, bar};
use crate::clock::Clock;

/// What was read of the files.
#[derive(Debug, Default)]
pub(super) struct TrailRead {
    /// The files that were read to their end.
    pub(super) files: usize,
    /// The records in all files.
    pub(super) records: u64,
    /// The records that name a user of a stream.
    pub(super) uses: u64,
    /// What could not be read: each a file and why.
    pub(super) not_read: Vec<String>,
}

/// Reads the files at `paths`, and those in folders, and calls `on_use` for each use of a stream.
pub(super) fn read(paths: &[PathBuf], mut on_use: impl FnMut(Use)) -> TrailRead {
    let mut read = TrailRead::default();
    let mut files = Vec::new();
    for path in paths {
        collect(path, true, &mut files, &mut read.not_read);
    }
    if files.is_empty() && read.not_read.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        read.not_read.push(format!("{}: no file that ends in .json, .json.gz, .jsonl or .jsonl.gz", names.join(", ")));
    }
    let bytes = files.iter().map(|(_, size)| size).sum();
    let bar = bar(bytes, "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}");
    let clock = Clock::system();
    let mut murmur = Murmur::new(clock.instant());
    let mut said = || {
        // A terminal shows the bar.
        if bar.is_hidden() {
            let megabytes = |bytes: u64| bytes / 1_000_000;
            murmur.say(clock.instant(), |waited| {
                let (read, of) = (megabytes(bar.position()), megabytes(bytes));
                format!("reading exported files: {read} of {of} MB ({} s)", waited.as_secs())
            });
        }
    };
    let counts = RefCell::new((0, 0));
    for (path, _) in &files {
        bar.set_message(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        let on_record = |record: &Value| {
            let mut counts = counts.borrow_mut();
            counts.0 += 1;
            said();
            if let Some(used) = used_by(record) {
                counts.1 += 1;
                on_use(used);
            }
        };
        match file(path, &bar, on_record) {
            Ok(()) => read.files += 1,
            Err(why) => read.not_read.push(format!("{}: {why}", path.display())),
        }
    }
    bar.finish_and_clear();
    (read.records, read.uses) = counts.into_inner();
    read
}

/// The files at `path` with their sizes, in the order of their names. A file that is named is read
/// whatever its name is.
fn collect(path: &Path, is_named: bool, files: &mut Vec<(PathBuf, u64)>, not_read: &mut Vec<String>) {
    let mut unreadable = |error: &io::Error| not_read.push(format!("{}: {}", path.display(), reason(error)));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return unreadable(&error),
    };
    if metadata.is_file() {
        if is_named || is_json(path) {
            files.push((path.to_owned(), metadata.len()));
        }
        return;
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match entries {
        Ok(mut entries) => {
            entries.sort_by_key(fs::DirEntry::path);
            for entry in entries {
                // A link to a folder above would never end.
                if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    collect(&entry.path(), false, files, not_read);
                }
            }
        }
        Err(error) => unreadable(&error),
    }
}

/// Whether the name is that of a file with JSON, gzipped or not.
fn is_json(path: &Path) -> bool {
    let ends = |path: &Path, endings: &[&str]| {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        endings.iter().any(|known| ending == *known)
    };
    let name = if ends(path, &["gz"]) { path.with_extension("") } else { path.to_owned() };
    ends(&name, &["json", "jsonl"])
}

/// Reads one file. Records before a fault count.
fn file(path: &Path, bar: &ProgressBar, mut on_record: impl FnMut(&Value)) -> Result<(), String> {
    let unreadable = |error: io::Error| reason(&error);
    let mut reader = BufReader::with_capacity(BUFFER, bar.wrap_read(File::open(path).map_err(unreadable)?));
    // The first two bytes of every gzip file: RFC 1952.
    if reader.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]) {
        values(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader)), &mut on_record)
    } else {
        values(reader, &mut on_record)
    }
}

const BUFFER: usize = 256 * 1024;

/// Reads one JSON value after the other: a log file, a record a line, or several of either.
fn values(mut reader: impl BufRead, on_record: &mut dyn FnMut(&Value)) -> Result<(), String> {
    skip_mark(&mut reader).map_err(|error| unreadable(error.kind()))?;
    let mut records = serde_json::Deserializer::from_reader(reader);
    let mut is_empty = true;
    loop {
        // A stream deserializer takes no seed, so the end is asked for here.
        match records.end() {
            Ok(()) if is_empty => return Err("the file is empty".to_owned()),
            Ok(()) => return Ok(()),
            // Something follows that is not white space: the next value.
            Err(error) if error.is_syntax() => {}
            Err(error) => return Err(fault(&error)),
        }
        Document(on_record).deserialize(&mut records).map_err(|error| fault(&error))?;
        is_empty = false;
    }
}

/// Skips a byte order mark.
fn skip_mark(reader: &mut impl BufRead) -> io::Result<()> {
    if reader.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
        reader.consume(3);
    }
    Ok(())
}

/// Why the bytes of a file cannot be read on.
fn unreadable(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "it is not valid gzip".to_owned(),
        io::ErrorKind::UnexpectedEof => "its gzip data ends too early".to_owned(),
        _ => "the operating system cannot read it".to_owned(),
    }
}

/// What is wrong with a file, and where.
fn fault(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        return format!("it ends too early, at line {line}, column {column}");
    }
    if let Some(kind) = error.io_error_kind() {
        return unreadable(kind);
    }
    format!("it is not valid JSON: check line {line}, column {column}")
}

/// A value of a file: an object with `Records` or `Events`, a list of records, or a record.
struct Document<'a>(&'a mut dyn FnMut(&Value));

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records of CloudTrail")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut record = serde_json::Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "Records" | "Events" => map.next_value_seed(Records(&mut *self.0))?,
                _ => drop(record.insert(name, map.next_value()?)),
            }
        }
        if record.contains_key("eventName") {
            (self.0)(&Value::Object(record));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Records(self.0).visit_seq(list)
    }

    // Anything else is left out.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A list of records, read one by one.
struct Records<'a>(&'a mut dyn FnMut(&Value));

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<Value>()? {
            // `LookupEvents` returns each record as a text.
            let record = element["CloudTrailEvent"].as_str().and_then(|text| serde_json::from_str(text).ok());
            (self.0)(&record.unwrap_or(element));
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn record(name: &str) -> Value {
        json!({
            "eventSource": "kinesis.amazonaws.com",
            "eventName": "PutRecord",
            "eventTime": "2026-11-24T12:00:00Z",
            "awsRegion": "us-east-1",
            "recipientAccountId": "111122223333",
            "requestParameters": {"streamName": name},
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/jo"},
        })
    }

    /// The names of the streams in a file with these bytes, and what was not read.
    fn found(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trail.json");
        fs::write(&path, bytes).expect("written");
        let mut streams = Vec::new();
        let read = read(&[path], |used| streams.push(used.stream.name().to_owned()));
        let prefix = format!("{}/trail.json: ", folder.path().display());
        (streams, read.not_read.iter().map(|line| line.replace(&prefix, "")).collect())
    }

    #[test]
    fn every_form_in_which_records_are_exported_is_read() {
        let (one, two) = (record("one"), record("two"));
        let text = |record: &Value| json!({"EventName": "PutRecord", "CloudTrailEvent": record.to_string()});
        for form in [
            json!({"Records": [one, two]}).to_string(),
            json!({"Events": [text(&one), text(&two)], "NextToken": "x"}).to_string(),
            json!([one, two]).to_string(),
            format!("{one}\n{two}\n"),
            format!("{}{}", json!({"Records": [one]}), json!({"Records": [two]})),
            format!("\u{feff}{:#}", json!({"Records": [one, {"eventName": 1}, null, "text", two]})),
        ] {
            let both = (vec!["one".to_owned(), "two".to_owned()], Vec::<String>::new());
            assert_eq!(found(form.as_bytes()), both, "{form}");
            let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            zipped.write_all(form.as_bytes()).expect("zipped");
            assert_eq!(found(&zipped.finish().expect("zipped")), both, "{form}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_what_it_had_before_counts() {
        let whole = json!({"Records": [record("one"), record("two")]}).to_string();
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(whole.as_bytes()).expect("zipped");
        let zipped = zipped.finish().expect("zipped");
        for (bytes, streams, why) in [
            (&b""[..], 0, "the file is empty"),
            (b"  \n", 0, "the file is empty"),
            (b"eventName,eventTime", 0, "it is not valid JSON: check line 1, column 1"),
            (&whole.as_bytes()[..whole.len() - 20], 1, "it ends too early, at line 1"),
            (&zipped[..zipped.len() - 12], 1, "its gzip data ends too early"),
            (&[0x1f, 0x8b, 0, 0], 0, "its gzip data ends too early"),
        ] {
            let (found, not_read) = found(bytes);
            assert!(found.len() >= streams, "{found:?}");
            assert!(not_read.len() == 1 && not_read[0].starts_with(why), "{not_read:?} {why}");
        }
        let (found, not_read) = found(b"{\"a\": 1} 5 null [true, 1.5]");
        assert!(found.is_empty() && not_read.is_empty(), "{not_read:?}");
    }

    #[test]
    fn a_folder_is_read_with_the_folders_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("2026/11");
        fs::create_dir_all(&inner).expect("a folder");
        fs::write(inner.join("b.json"), record("two").to_string()).expect("written");
        fs::write(folder.path().join("notes.txt"), "no JSON").expect("written");
        let mut streams = Vec::new();
        let result = read(&[folder.path().to_owned()], |used| streams.push(used.stream.name().to_owned()));
        assert_eq!((streams.len(), result.files, result.records, result.not_read.len()), (1, 1, 1, 0));
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).expect("a folder");
        let result = read(&[empty, folder.path().join("nowhere")], |_| {});
        assert!(result.not_read[0].ends_with("nowhere: no such file or directory"), "{result:?}");
    }
}
