"""Times reading ten seconds of 1280 × 720 video (H.264, 25 per second) in VoxQL, ffmpeg, OpenCV and decord, and
ten minutes of 320 × 180 in H.264 and in H.265, which VoxQL reads through ffmpeg.

    apt install ffmpeg
    pip install opencv-python-headless decord
    cargo build --release
    python benches/read_video.py target/release/voxql

Prints the median of three, in seconds, for all pictures as they are, made 64 × 64, and the whole and the last second of
ten minutes. VoxQL's times include the start of the program. All use one thread, but for the ffmpeg that VoxQL starts.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def median(run):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def write(folder):
    film, long, hevc = folder / "film.mp4", folder / "long.mp4", folder / "hevc.mp4"
    x264 = ["-c:v", "libx264", "-preset", "fast", "-g", "50", "-pix_fmt", "yuv420p"]
    source = lambda size, seconds: ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"]
    run = lambda *arguments: subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *arguments], check=True)
    run(*source("1280x720", 10), "-vf", "noise=alls=12:allf=t", "-crf", "24", *x264, film)
    run(*source("320x180", 600), *x264, long)
    # One minute ten times: x265 takes its time.
    x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=250:bframes=3"]
    run(*source("320x180", 60), *x265, "-pix_fmt", "yuv420p", folder / "minute.mp4")
    run("-stream_loop", "9", "-i", folder / "minute.mp4", "-c", "copy", hevc)
    return film, long, hevc


def main(voxql):
    with tempfile.TemporaryDirectory() as folder:
        film, long, hevc = write(Path(folder))

        def ours(path, arguments="", where="", columns="count(frame), max(frame[1])"):
            sql = f"SELECT {columns} FROM read_video('{path}'{arguments}){where}"
            subprocess.run([voxql, "--threads", "1", "-c", sql], check=True, stdout=subprocess.DEVNULL)

        def ffmpeg(*arguments):
            command = ["ffmpeg", "-loglevel", "error", "-threads", "1", "-i", film, *arguments, "-f", "rawvideo", "-"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        print(f"voxql, rgb            {median(lambda: ours(film)):7.2f}")
        print(f"voxql, times only     {median(lambda: ours(film, columns='max(time)')):7.2f}")
        print(f"voxql, 64 x 64        {median(lambda: ours(film, ', width => 64, height => 64')):7.2f}")
        print(f"ffmpeg, decoded only  {median(lambda: ffmpeg()):7.2f}")
        print(f"ffmpeg, rgb24         {median(lambda: ffmpeg('-pix_fmt', 'rgb24')):7.2f}")
        print(f"ffmpeg, 64 x 64       {median(lambda: ffmpeg('-vf', 'scale=64:64:flags=bilinear', '-pix_fmt', 'rgb24')):7.2f}")
        print(f"voxql, 10 minutes     {median(lambda: ours(long)):7.2f}")
        last = " WHERE time >= 599"
        numbers = "count(frame), max(frame_index)"
        print(f"voxql, its last second{median(lambda: ours(long, where=last)):7.2f}")
        print(f"H.265, 10 minutes     {median(lambda: ours(hevc)):7.2f}")
        print(f"H.265, its times      {median(lambda: ours(hevc, columns='max(time)')):7.2f}")
        print(f"H.265, its last second{median(lambda: ours(hevc, where=last)):7.2f}")
        print(f"H.265, with numbers   {median(lambda: ours(hevc, where=last, columns=numbers)):7.2f}")
        if importlib.util.find_spec("cv2"):
            import cv2

            def opencv():
                cv2.setNumThreads(1)
                video = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
                while video.read()[0]:
                    pass

            print(f"opencv                {median(opencv):7.2f}")
        if importlib.util.find_spec("decord"):
            import decord

            def decord_all():
                for picture in decord.VideoReader(str(film), num_threads=1):
                    picture.asnumpy()

            print(f"decord                {median(decord_all):7.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
