"""How results of this package and of others are read, one module a package.

A module for a package has a mapping ``CLASSES`` from names of classes
("package.module:Class") to :class:`sm_lmer.tables.dispatch.Extractor`; the nearest
class among the bases of a result counts. None imports the package that it reads.
"""
