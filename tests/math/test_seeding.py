from torchpolicy.seeding import Stream, derive_seed, episode_seeds

EPISODES = (Stream.TRAIN, Stream.VALIDATION, Stream.CONFIRMATION, Stream.TEST)


def test_streams_never_overlap_whatever_the_root() -> None:
    seeds = {
        stream: {
            seed
            for root in range(3)
            for generation in range(200)
            for seed in episode_seeds(root, stream, generation, 20)
        }
        for stream in EPISODES
    }
    for stream in EPISODES:
        others = set().union(*(seeds[other] for other in EPISODES if other is not stream))
        assert not seeds[stream] & others
        assert len(seeds[stream]) > 11_990


def test_seeds_are_pure_and_fit_31_bits() -> None:
    assert episode_seeds(7, Stream.TEST, 2, 5) == episode_seeds(7, Stream.TEST, 2, 5)
    assert episode_seeds(7, Stream.TEST, 2, 5)[:3] == episode_seeds(7, Stream.TEST, 2, 3)
    assert episode_seeds(7, Stream.TEST, 2, 5) != episode_seeds(8, Stream.TEST, 2, 5)
    assert all(0 <= seed < 2**31 for stream in EPISODES for seed in episode_seeds(2**70, stream, 0, 100))
    assert derive_seed(0, Stream.SEARCH) != derive_seed(0, Stream.POLICY)
