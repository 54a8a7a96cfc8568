# The course with PyTorch's build for the CPU, for one reader or for a JupyterHub. For a class it is
# built in the student edition: all that lies beside this file goes into the image, solutions too.
#     docker build -t lstm-course .
#     docker run --rm -p 8888:8888 -v lstm-course:/home/student lstm-course
# The course belongs to root; a reader's notebooks and output are in /home/student, which is kept.
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 student
WORKDIR /srv/course
COPY . .
RUN PIP_NO_CACHE_DIR=1 python tools/course.py install
RUN .venv/bin/python -m compileall -q lstmlib
USER student
ENV OMP_NUM_THREADS=1
EXPOSE 8888
CMD ["python", "tools/course.py", "lab", "--ip=0.0.0.0"]
