"""The story: what is said, by whom, in which scene, and what the picture shows meanwhile.

Numbers given as a pair move from the first to the second while the sentence lasts.
"""

from dataclasses import dataclass, field


@dataclass
class Sentence:
    text: str
    scene: str  # the trial_type of events.tsv
    show: dict = field(default_factory=dict)


# Skies are (top, bottom) colours; seas are (far, near) colours.
DAWN = dict(sky=((0.35, 0.42, 0.62), (0.98, 0.75, 0.55)), sea=((0.75, 0.60, 0.55), (0.20, 0.34, 0.48)))
DAY = dict(sky=((0.32, 0.60, 0.92), (0.78, 0.90, 0.98)), sea=((0.42, 0.68, 0.82), (0.10, 0.38, 0.62)))
NOON = dict(sky=((0.42, 0.72, 1.00), (0.95, 0.97, 0.95)), sea=((0.62, 0.86, 0.92), (0.14, 0.52, 0.74)))
GREY = dict(sky=((0.30, 0.34, 0.42), (0.58, 0.62, 0.66)), sea=((0.42, 0.48, 0.54), (0.14, 0.22, 0.30)))
STORM = dict(sky=((0.10, 0.11, 0.16), (0.28, 0.30, 0.36)), sea=((0.20, 0.24, 0.30), (0.05, 0.08, 0.13)))
DUSK = dict(sky=((0.34, 0.20, 0.48), (0.98, 0.52, 0.24)), sea=((0.82, 0.44, 0.34), (0.20, 0.14, 0.32)))
NIGHT = dict(sky=((0.02, 0.03, 0.10), (0.08, 0.10, 0.24)), sea=((0.08, 0.11, 0.24), (0.02, 0.03, 0.08)))

STORY = [
    Sentence("The sun rises slowly over a quiet sea.", "beach",
             {**DAWN, "sun": (96, (84, 58), 11), "waves": 0.6}),
    Sentence("A small red boat lies on the sand.", "beach",
             {**DAWN, "sun": (140, 46, 9), "beach": 1, "boat": (70, 116, 1.7, 0.12)}),
    Sentence("Three white gulls circle and cry above the beach.", "beach",
             {**DAY, "beach": 1, "gulls": 3, "clouds": 0.3, "boat": (28, 122, 1.1, 0.12)}),
    Sentence("An old fisherman with a black hat walks down to the water.", "beach",
             {**DAY, "beach": 1, "man": ((170, 84), 118, 1.5), "clouds": 0.3, "boat": (48, 114, 1.4, 0.1)}),
    Sentence("He pushes the boat into the waves and raises a yellow sail.", "sea",
             {**DAY, "boat": (96, 92, 1.8, 0.05), "sail": (0.05, 1), "waves": 1.2, "aboard": 1, "clouds": 0.4}),
    Sentence("The wind is gentle, and the boat glides away from the shore.", "sea",
             {**DAY, "boat": ((40, 140), (100, 84), (1.6, 0.7), 0.03), "sail": 1, "aboard": 1, "waves": 0.9, "gulls": 1}),
    Sentence("Behind it, the village with its white church grows smaller and smaller.", "village",
             {**DAY, "hills": 1, "village": (96, 78, (1.9, 0.7)), "waves": 0.8, "clouds": 0.5}),
    Sentence("A silver fish leaps out of the water and falls back with a splash.", "sea",
             {**DAY, "leap": (0, 1), "waves": 1.0, "clouds": 0.2}),
    Sentence("Deep below the keel, the light turns green and everything is silent.", "underwater",
             {"depth": (0.1, 0.75), "keel": 1, "weeds": 0.6}),
    Sentence("A school of orange fish swims past tall weeds.", "underwater",
             {"depth": 0.6, "weeds": 1, "school": ((-30, 210), 66)}),
    Sentence("A pale jellyfish drifts upwards like a slow balloon.", "underwater",
             {"depth": (0.8, 0.5), "jelly": (110, (120, 36)), "weeds": 0.4}),
    Sentence("At noon the sun stands high, and the air is hot and still.", "sea",
             {**NOON, "sun": (96, 26, 13), "boat": (60, 88, 0.9, 0.0), "sail": 1, "aboard": 1, "waves": 0.2}),
    Sentence("The fisherman pulls in his net, full of crabs and mussels.", "sea",
             {**NOON, "boat": (84, 98, 2.2, 0.05), "aboard": 1, "net": (1, 0), "waves": 0.5}),
    Sentence("Far away, a dark cloud appears on the horizon.", "storm",
             {**GREY, "clouds": 0.4, "dark": (0.1, 0.8), "waves": 1.0, "boat": (150, 86, 0.7, 0.03), "sail": 1}),
    Sentence("The wind grows stronger, and the waves begin to climb.", "storm",
             {**GREY, "dark": 0.8, "waves": (1.2, 4.5), "boat": (80, 92, 1.3, 0.15), "sail": 1, "aboard": 1}),
    Sentence("Rain falls in heavy grey sheets.", "storm",
             {**STORM, "dark": 0.9, "rain": 1, "waves": 4.5, "boat": (110, 92, 1.2, 0.2), "sail": 1, "aboard": 1}),
    Sentence("Lightning flashes, and thunder rolls across the bay.", "storm",
             {**STORM, "dark": 1, "rain": 0.7, "waves": 5, "lightning": 1}),
    Sentence("The sail is torn, and the little boat tips from side to side.", "storm",
             {**STORM, "dark": 1, "rain": 0.8, "waves": 5.5, "boat": (92, 94, 1.9, 0.45), "sail": 1, "torn": 1, "aboard": 1}),
    Sentence("On the cliff, a lighthouse sends its bright beam through the darkness.", "lighthouse",
             {**NIGHT, "lighthouse": 146, "rain": 0.4, "waves": 3}),
    Sentence("The fisherman sees the light and steers towards it.", "lighthouse",
             {**NIGHT, "lighthouse": 172, "rain": 0.3, "waves": 2.5, "boat": ((36, 96), 96, 1.6, 0.15), "aboard": 1, "sail": 1, "torn": 1}),
    Sentence("Slowly the rain stops, and the clouds drift apart.", "village",
             {**GREY, "rain": (0.8, 0), "clouds": 0.9, "dark": (0.7, 0), "waves": 1.5, "hills": 1}),
    Sentence("A rainbow bends over the wet green hills.", "village",
             {**DAY, "hills": 1, "rainbow": (0, 1), "village": (52, 78, 0.9), "waves": 0.7}),
    Sentence("In the evening, the sky turns orange and then purple.", "village",
             {**DUSK, "sun": (60, (62, 92), 13), "waves": 0.6, "evening": (0, 1)}),
    Sentence("The boat comes home, and children run along the pier.", "village",
             {**DUSK, "pier": 1, "children": (180, 60), "boat": ((20, 70), 104, 1.4, 0.05), "aboard": 1, "sail": 0.3, "waves": 0.5}),
    Sentence("In the village, lamps are lit, window by window.", "night",
             {**NIGHT, "hills": 1, "village": (96, 82, 1.9), "lamps": (0, 1), "waves": 0.4}),
    Sentence("Stars come out one by one, and the moon climbs over the roofs.", "night",
             {**NIGHT, "hills": 1, "village": (60, 82, 1.2), "lamps": 0.6, "stars": (0, 1), "moon": (140, (80, 28)), "waves": 0.3}),
    Sentence("The old man sleeps, and the sea goes on whispering.", "night",
             {**NIGHT, "stars": 1, "moon": (130, 26), "waves": 0.8, "beach": 0.8, "boat": (56, 118, 1.4, 0.12)}),
]
