#!/bin/sh
# Makes the sounds of this directory with ffmpeg 5.1 (libmp3lame, libvorbis, libopus, libx264):
#     sh make_audio.sh DIRECTORY
# Left is 0.4 sin(2π(300 + 400t)t), right 0.3 sin(2π(900 - 200t)t), so that time and channel can be told.
set -e
cd "$1"
ff() { ffmpeg -v error -y -bitexact "$@"; }
src() { echo "aevalsrc=0.4*sin(2*PI*(300+400*t)*t)|0.3*sin(2*PI*(900-200*t)*t):s=$1:d=$2"; }
# WAV
for c in pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le; do
  ff -f lavfi -i "$(src 8000 0.2)" -c:a $c $c.wav
done
ff -f lavfi -i "$(src 8000 1.2)" -c:a flac tone.flac
ff -f lavfi -i "$(src 44100 2.5)" -c:a libmp3lame -b:a 48k tone.mp3
ff -f lavfi -i "$(src 44100 2.5)" -c:a libmp3lame -b:a 48k -write_xing 0 -id3v2_version 0 plain.mp3
ff -f lavfi -i "$(src 16000 2.5)" -c:a libmp3lame -q:a 6 vbr.mp3
ff -f lavfi -i "$(src 44100 2.5)" -c:a libvorbis -q:a 0 tone.ogg
ff -f lavfi -i "$(src 48000 2.5)" -c:a libopus -b:a 32k tone.opus
ff -f lavfi -i "$(src 44100 2.5)" -c:a aac -b:a 32k tone.m4a
ff -f lavfi -i "$(src 8000 1.2)" -c:a alac -sample_fmt s16p alac.m4a
ff -f lavfi -i "$(src 44100 2.5)" -c:a libmp3lame -b:a 48k mp3.mp4
ff -f lavfi -i "$(src 8000 0.8)" -c:a flac -strict -2 flac.mp4
ff -f lavfi -i "$(src 44100 2.5)" -c:a libvorbis -q:a 0 vorbis.webm
# With ffmpeg 9, which says how much of the last block is padding; 5.1 does not.
ff -f lavfi -i "$(src 44100 2.5)" -c:a libvorbis -q:a 0 vorbis_padded.webm
ff -f lavfi -i "$(src 48000 2.5)" -c:a libopus -b:a 32k opus.webm
ff -f lavfi -i "$(src 44100 2.5)" -c:a aac -b:a 32k aac.mkv
ff -f lavfi -i "$(src 8000 0.8)" -c:a flac flac.mkv
ff -f lavfi -i "$(src 44100 2.5)" -c:a libmp3lame -b:a 48k mp3.mkv
ff -f lavfi -i "$(src 8000 0.3)" -c:a pcm_s16le pcm.mkv
ff -f lavfi -i "$(src 8000 0.3)" -c:a pcm_s16le pcm.mov
ff -f lavfi -i "aevalsrc=0.1*sin(900*t)|0.2*sin(1000*t)|0.3*sin(1100*t)|0.02*sin(200*t)|0.25*sin(1500*t)|0.15*sin(1700*t):s=44100:d=1:c=5.1" -c:a aac -b:a 64k surround.m4a
# two languages, the second flagged as default, and the first begins late
for e in mkv mp4; do
  ff -f lavfi -i "testsrc=s=64x48:r=10:d=2" -itsoffset 0.5 -f lavfi -i "$(src 8000 1.5)" -f lavfi -i "sine=f=440:r=8000:d=2" -map 0 -map 1 -map 2 -c:v libx264 -b:v 20k -c:a aac -b:a 16k -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -metadata:s:a:1 title=Kommentar -disposition:a:0 0 -disposition:a:1 default two.$e
done
