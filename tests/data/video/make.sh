#!/bin/sh
# Makes the clips of this directory (ffmpeg 5.1, libx264, libx265, libvpx). Run it here.
set -e
quiet="-hide_banner -loglevel error -y -bitexact"
x264="-c:v libx264 -preset medium -bf 2 -crf 34 -pix_fmt yuv420p -flags:v +bitexact"
source="-f lavfi -i testsrc2=size=64x48:rate=25"

# Pictures 0 5 7 10 14 15 20 21 … of 25 a second (multiples of 5 or 7), each at its own time.
ffmpeg $quiet $source -vf "select='not(mod(n,5)*mod(n,7))'" -frames:v 20 -fps_mode vfr $x264 vfr.mp4
# The same in Matroska, and with H.264 as its muxer writes it with B-frames.
ffmpeg $quiet -i vfr.mp4 -c copy vfr.mkv
# 60 pictures in groups of 8, closed; the same with open groups of pictures.
ffmpeg $quiet $source -frames:v 60 $x264 -g 8 -sc_threshold 0 groups.mp4
ffmpeg $quiet -i groups.mp4 -c copy groups.mkv
ffmpeg $quiet $source -frames:v 60 $x264 -g 8 -sc_threshold 0 -x264opts open-gop=1 open_groups.mp4
# Cut without coding anew, so that an edit list hides the pictures before 0.52 s, between two pictures;
# before 0.5 s, in the middle of a picture's time; and 0.3 s late.
ffmpeg $quiet -ss 0.52 -i groups.mp4 -c copy cut.mp4
ffmpeg $quiet -ss 0.5 -i groups.mp4 -c copy within.mp4
ffmpeg $quiet -itsoffset 0.3 -i groups.mp4 -t 1 -c copy late.mp4
# Shown after a quarter turn.
ffmpeg $quiet -i vfr.mp4 -c copy -metadata:s:v rotate=90 rotated.mp4
# Grey alone (4:0:0), with luma below black.
ffmpeg $quiet -f lavfi -i "nullsrc=size=32x16:rate=5,format=gray,geq=lum='8*X+Y+40*N'" -frames:v 4 -c:v libx264 -crf 10 -pix_fmt gray grey.mp4
# 10 bits.
ffmpeg $quiet $source -frames:v 4 -c:v libx264 -crf 30 -pix_fmt yuv420p10le ten_bits.mp4
# What is not decoded in the process.
ffmpeg $quiet -i vfr.mp4 -fps_mode passthrough -c:v libx265 -x265-params log-level=none -crf 36 -tag:v hvc1 hevc.mp4
ffmpeg $quiet -i vfr.mp4 -fps_mode passthrough -c:v libvpx-vp9 -crf 50 -b:v 0 vp9.webm
ffmpeg $quiet $source -frames:v 12 -c:v mpeg4 -q:v 20 mpeg4.avi
ffmpeg $quiet -i vfr.mp4 -c copy -movflags frag_keyframe+empty_moov fragmented.mp4
ffmpeg $quiet $source -frames:v 6 -c:v libx264 -crf 36 -pix_fmt yuv444p yuv444.mp4
ffmpeg $quiet $source -frames:v 3 -c:v libx264 -qp 0 -pix_fmt yuv420p lossless.mp4
# That in groups of pictures: open ones with B-frames, with hidden pictures, and with B-frames
# in a format without their times.
x265="-c:v libx265 -x265-params log-level=none:keyint=8:min-keyint=8:scenecut=0:bframes=3:open-gop=1"
ffmpeg $quiet $source -frames:v 60 $x265 -crf 36 -tag:v hvc1 hevc_groups.mp4
ffmpeg $quiet $source -frames:v 60 -c:v libvpx-vp9 -crf 50 -b:v 0 -g 8 -lag-in-frames 8 -auto-alt-ref 1 vp9_groups.webm
ffmpeg $quiet $source -frames:v 40 -c:v mpeg4 -q:v 24 -g 8 -bf 2 mpeg4_groups.avi
