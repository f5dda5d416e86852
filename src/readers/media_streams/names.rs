//! Codings as ffprobe names them.

use super::super::mp4::FourCc;

/// Of an MP4's sample description.
pub fn of_four_letters(code: &FourCc) -> Option<String> {
    let name = match code {
        b"avc1" | b"avc3" => "h264",
        b"hvc1" | b"hev1" => "hevc",
        b"av01" => "av1",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"mp4v" => "mpeg4",
        b"jpeg" => "mjpeg",
        b"apcn" | b"apch" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "prores",
        b"mp4a" => "aac",
        b".mp3" => "mp3",
        b"fLaC" => "flac",
        b"Opus" => "opus",
        b"ac-3" => "ac3",
        b"ec-3" => "eac3",
        b"sowt" => "pcm_s16le",
        b"twos" => "pcm_s16be",
        b"in24" => "pcm_s24be",
        b"in32" => "pcm_s32be",
        b"fl32" => "pcm_f32be",
        b"fl64" => "pcm_f64be",
        b"tx3g" | b"text" => "mov_text",
        b"wvtt" => "webvtt",
        b"c608" => "eia_608",
        other => {
            let text = other.escape_ascii().to_string();
            return Some(text.trim().to_lowercase()).filter(|text| !text.is_empty());
        }
    };
    Some(name.to_owned())
}

/// Of a Matroska track; PCM has its bits with it.
pub fn of_matroska(id: &str, bits: Option<u64>) -> Option<String> {
    let name = match id {
        "V_MPEG4/ISO/AVC" => "h264",
        "V_MPEGH/ISO/HEVC" => "hevc",
        "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/AP" => "mpeg4",
        "V_MPEG1" => "mpeg1video",
        "V_MPEG2" => "mpeg2video",
        "V_MJPEG" => "mjpeg",
        "A_MPEG/L3" => "mp3",
        "A_MPEG/L2" => "mp2",
        "A_MPEG/L1" => "mp1",
        "A_PCM/INT/LIT" if bits == Some(8) => "pcm_u8",
        "A_PCM/INT/LIT" => return Some(format!("pcm_s{}le", bits?)),
        "A_PCM/INT/BIG" => return Some(format!("pcm_s{}be", bits?)),
        "A_PCM/FLOAT/IEEE" => return Some(format!("pcm_f{}le", bits?)),
        "S_TEXT/UTF8" => "subrip",
        "S_TEXT/ASS" | "S_ASS" | "S_TEXT/SSA" | "S_SSA" => "ass",
        "S_TEXT/WEBVTT" | "D_WEBVTT/SUBTITLES" => "webvtt",
        "S_HDMV/PGS" => "hdmv_pgs_subtitle",
        "S_VOBSUB" => "dvd_subtitle",
        id if id.starts_with("A_AAC") => "aac",
        // V_VP9, A_VORBIS, A_OPUS, A_FLAC, A_AC3, …
        id => {
            let name = id.split_once('_').map_or(id, |(_, name)| name);
            return Some(name.to_lowercase()).filter(|name| !name.is_empty());
        }
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_ffprobe_has_them() {
        let matroska = |id| of_matroska(id, Some(16)).unwrap();
        assert_eq!(matroska("V_VP9"), "vp9");
        assert_eq!(matroska("A_VORBIS"), "vorbis");
        assert_eq!(matroska("A_AAC/MPEG4/LC"), "aac");
        assert_eq!(matroska("A_PCM/INT/LIT"), "pcm_s16le");
        assert_eq!(of_four_letters(b"avc1").unwrap(), "h264");
        assert_eq!(of_four_letters(b"alac").unwrap(), "alac");
        assert_eq!(of_four_letters(b"    "), None);
    }
}
