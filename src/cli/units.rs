//! Sizes and times as people write them: `8GB`, `1.5 min`.

use std::time::Duration;

/// Reads a size: a number and a unit. KB, MB, GB, TB are powers of 1000; KiB,
/// MiB, GiB, TiB of 1024.
pub fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) =
        number_and_unit(text).ok_or("a size is a number and a unit, such as 8GB")?;
    let factor: f64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024f64.powi(2),
        "gib" => 1024f64.powi(3),
        "tib" => 1024f64.powi(4),
        "" => {
            return Err(format!(
                "the unit is missing, as in {number}MB or {number}GB"
            ));
        }
        other => {
            return Err(format!(
                "'{other}' is no unit; there are B, KB, MB, GB, TB and KiB, MiB, GiB, TiB"
            ));
        }
    };
    let size = number * factor;
    if size < 1.0 || size >= usize::MAX as f64 {
        return Err(
            "a memory limit is at least one byte, and less than this machine can address"
                .to_owned(),
        );
    }
    Ok(size as usize)
}

/// Reads a time: a number and a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        number_and_unit(text).ok_or("a time is a number and a unit, such as 90s")?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "min" => number * 60.0,
        "h" => number * 3600.0,
        "" => {
            return Err(format!(
                "the unit is missing, as in {number}s or {number}min"
            ));
        }
        other => return Err(format!("'{other}' is no unit; there are ms, s, min and h")),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("a time is longer than nothing".to_owned()),
    }
}

/// `1.5 GiB` as 1.5 and `GiB`; None where no number comes first.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("512mb"), Ok(512_000_000));
        for wrong in ["", "8", "GB", "-1GB", "8XB", "0GB", "1e9999TB", "1.2.3MB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5 min"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "8", "s", "-1s", "0s", "3 days", "1.2.3s", "1e99s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
