//! `[log] max_size`, `max_files`, `compress`.

use std::ops::RangeInclusive;

use crate::config::model::LogFiles;
use crate::config::raw::Value;
use crate::config::section::{Section, lay};

/// Less than 1 KiB would hold a line or two, and rotate all day.
const FILE_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 50;
/// Every rotation gives each of them another name.
const FILES: RangeInclusive<u64> = 1..=1000;
const COMPRESSIONS: [(&str, bool); 2] = [("gzip", true), ("none", false)];

/// What `[log]` says of its files.
pub(super) fn log_files(section: &Section<'_>, files: &mut LogFiles) {
    let max_size = section.node("max_size").map(|node| &node.value);
    if matches!(max_size, Some(Value::Text(text)) if text == "0" || text == "0B") {
        files.max_size = None;
    } else {
        let size = section.size("max_size", &FILE_BYTES);
        lay(&mut files.max_size, size.map(Some));
    }
    let count = section.number("max_files", &FILES);
    lay(&mut files.max_files, count.and_then(|count| u32::try_from(count).ok()));
    lay(&mut files.compress, section.choice("compress", &COMPRESSIONS));
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::model::LogFiles;

    fn files(log: &str) -> LogFiles {
        let text = format!("[upstream]\nurl = \"http://127.0.0.1:3000\"\n[log]\n{log}");
        Config::from_toml(&text).unwrap().log.files
    }

    #[test]
    fn files_are_as_long_as_the_plan_says_and_can_be_left_alone() {
        let usual = LogFiles { max_size: Some(10_485_760), max_files: 5, compress: true };
        assert_eq!(files(""), usual);
        assert_eq!(files("max_size = \"1KiB\"").max_size, Some(1024));
        assert_eq!(files("max_size = \"0\"").max_size, None);
        assert_eq!(files("max_size = \"0B\"").max_size, None);
        let other = files("max_files = 1\ncompress = \"none\"");
        assert_eq!(other, LogFiles { max_files: 1, compress: false, ..usual });
    }
}
