"""The library behind the course: the line from raw text to measured generated text.

The modules follow that line, and each one imports only modules that stand above it:

    validation     checks of arguments: one message for each kind of mistake
    profile        which machine is this, and how large may a run be
    decoding       bytes -> text, with the declared encoding weighed against them
    markup         markup and EPUB files -> the text that a reader of them sees
    boilerplate    what a digital library puts around a book -> away
    readers        files -> decoded text: which reader a file wants
    corpora        names -> files: the registry, checked downloads, and reviews
    cleaning       raw text -> clean text, with a report of what went
    vocab          characters <-> ids
    batching       windows, contiguous streams for stateful truncated BPTT, padded batches
    grammars       formal languages: sample them, recognise them, know every probability
    scratch        RNN, LSTM and CIFG in NumPy, with hand-written backward passes and their proof
    models         the character-level network in PyTorch, and its files
    checkpoints    all that a run needs to go on where it was
    precision      float32 or bfloat16, and what a device can train in
    settings       the settings of a run, checked when they are made
    clipping       a gradient made shorter: by its norm, by value, unit by unit
    history        the rows of a run: what happened at each step
    diagnostics    what goes on inside a network in training: gradients, gates, states, Jacobians
    distributed    processes that train one model together
    sources        where the batches of a run come from: a text, sequences, windows
    run_state      what a run is made of, and how a checkpoint keeps it
    training       fit(): (truncated) BPTT, and the loss of a model
    speed          how fast a device trains, and how far that is from its limit
    inference      a prompt read, and then one character at a time, fast
    sampling       temperature and its kin, and texts: one, a batch, a stream
    metrics        bits, perplexity, n-gram baselines, measures of a text, validity
    plots          every figure of the course
    widgets        panels that move: a slider and what follows from it
    check          bands for measured numbers, and exercise checks
"""

__version__ = "0.1.0"
