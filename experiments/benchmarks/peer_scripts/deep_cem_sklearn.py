"""The founding sample of deep CEM in its own loop: one environment, one step at a time, and scikit-learn's classifier.

Each iteration plays 100 sessions with sampled actions, and makes one pass of `partial_fit` over those above percentile
70, until the mean return of a batch exceeds 195. It differs from the sample in two ways: it is seeded, and it uses
today's Gymnasium.

python deep_cem_sklearn.py SEED SECONDS
"""

import json
import sys
import time

import gymnasium
import numpy as np
from sklearn.neural_network import MLPClassifier

seed, limit = (int(argument) for argument in sys.argv[1:])
env = gymnasium.make("CartPole-v1")
rng = np.random.default_rng(seed)
agent = MLPClassifier(hidden_layer_sizes=(20, 20), activation="tanh", random_state=seed)
first, info = env.reset(seed=seed)
agent.partial_fit([first, first], [0, 1], classes=[0, 1])

begin, iterations, steps, solved = time.perf_counter(), 0, 0, False
while not solved and time.perf_counter() - begin < limit:
    sessions = []
    for _ in range(100):
        observation, info = env.reset()
        seen, done, total, ended = [], [], 0.0, False
        while not ended:
            action = int(rng.choice(2, p=agent.predict_proba([observation])[0]))
            seen.append(observation)
            done.append(action)
            observation, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            ended = terminated or truncated
        sessions.append((total, seen, done))
    iterations += 1
    steps += sum(len(done) for _, _, done in sessions)
    totals = [total for total, _, _ in sessions]
    solved = float(np.mean(totals)) > 195
    threshold = np.percentile(totals, 70)
    elite = [session for session in sessions if session[0] >= threshold]
    agent.partial_fit(np.concatenate([seen for _, seen, _ in elite]), np.concatenate([done for _, _, done in elite]))
seconds = time.perf_counter() - begin
print(json.dumps({"iterations": iterations, "steps": steps, "seconds": seconds, "solved": solved}))
