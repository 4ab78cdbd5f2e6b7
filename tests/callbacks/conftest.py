import logging

# Many small trainings make TensorFlow warn about the number of traces. Some
# tests expect that nothing but our own warnings is logged.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
